"""Which schema of the ledger this release knows: `python -m services.gateway.schema --config FILE` checks it."""

import argparse
import asyncio
import pathlib
import sys
from collections.abc import Collection

import asyncpg

from services.chassis.config import ConfigError
from services.config import mesh

# The files of infrastructure/postgres/migrations, which are not where a wheel is installed.
VERSIONS = (
    "20260101000000",
    "20261125000000",
    "20261125200000",
    "20261125210000",
    "20261125230000",
    "20261125230100",
    "20261125230200",
    "20261126040000",
)

_CONNECT_SECONDS = 5.0


class SchemaUnknown(Exception):
    """The database's tables are not those that this release reads and writes. The message says what to do."""


def difference(applied: Collection[str]) -> str | None:
    """What is to be done about a database with these migrations; None where they are what this release knows."""
    newer = sorted(set(applied) - set(VERSIONS))
    if newer:
        return (
            f"the database has migrations that this release does not know: {', '.join(newer)}; "
            "use the release that brought them, or a newer one"
        )
    missing = sorted(set(VERSIONS) - set(applied))
    if missing:
        return f"the database lacks migrations: {', '.join(missing)}; run `hybrid migrate`"
    return None


async def require_schema(connection: asyncpg.Connection) -> None:
    """See to it that the database has the tables that this release knows.

    Raises:
        SchemaUnknown: it lacks some, or has newer ones.
        asyncpg.PostgresError, OSError: it does not answer.
    """
    try:
        rows = await connection.fetch("SELECT version FROM schema_migrations")
    except asyncpg.UndefinedTableError:
        rows = []
    told = difference([row["version"] for row in rows])
    if told:
        raise SchemaUnknown(told)


class Known:
    """A process's knowledge that the tables are right: asked for until it is there, and not again.

    A newer release may bring its migrations while this one serves on.
    """

    def __init__(self) -> None:
        self._found = False

    async def require(self, connection: asyncpg.Connection) -> None:
        """`require_schema`, unless it once went well."""
        if not self._found:
            await require_schema(connection)
            self._found = True


async def check(dsn: str) -> None:
    """Connect to the database and `require_schema`.

    Raises:
        SchemaUnknown: as there.
        OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError: there is no such database now.
    """
    connection = await asyncpg.connect(dsn, timeout=_CONNECT_SECONDS, command_timeout=_CONNECT_SECONDS)
    try:
        await require_schema(connection)
    finally:
        await connection.close(timeout=_CONNECT_SECONDS)


def main() -> None:
    """Check, and say what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m services.gateway.schema", description="Check the ledger's tables.")
    parser.add_argument("--config", type=pathlib.Path, help="the mesh's configuration; default: the DSN is on stdin")
    arguments = parser.parse_args()
    try:
        dsn = _configured(arguments.config) if arguments.config else sys.stdin.read()
        asyncio.run(check(dsn))
    except (ConfigError, SchemaUnknown) as error:
        sys.exit(str(error))
    except (OSError, asyncpg.PostgresError) as error:
        sys.exit(f"the ledger's database does not answer: {error or type(error).__name__}")
    except (ValueError, asyncpg.InterfaceError):  # which may quote the DSN
        sys.exit("the DSN is none of PostgreSQL: postgresql://USER@HOST:PORT/DATABASE?sslmode=verify-full")


def _configured(file: pathlib.Path) -> str:
    dsn = mesh.load(file).ledger.dsn
    return dsn.get_secret_value() if dsn else ""


if __name__ == "__main__":
    main()
