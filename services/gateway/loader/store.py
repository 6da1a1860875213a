"""The ledger's tables, as the loader writes them."""

import contextlib
from collections.abc import AsyncIterator, Sequence

import asyncpg

from services.gateway.loader.rows import ATTEMPT_COLUMNS, REQUEST_COLUMNS, Row, Rows

# What the database, not a row, is the cause of: the same rows may be tried again. TimeoutError is an OSError.
UNAVAILABLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

_CONNECT_SECONDS = 5.0
_COMMAND_SECONDS = 60.0
_CLOSE_SECONDS = 2.0

# SQLSTATE classes and codes that a row's content can cause: data exception, unique and check violation, program limit.
# A missing value or table is not among them: that is a schema of another version, and would bury every row.
_REFUSALS = ("22", "23505", "23514", "54")

_ADVANCE = """
INSERT INTO spool_progress AS known (spool_id, segment, loaded_bytes)
SELECT $1::uuid, $2::text, $4::bigint
WHERE $3::bigint = 0 OR EXISTS (SELECT FROM spool_progress WHERE spool_id = $1 AND segment = $2)
ON CONFLICT (spool_id, segment) DO UPDATE SET loaded_bytes = excluded.loaded_bytes, loaded_at = now()
WHERE known.loaded_bytes = $3
RETURNING 1
"""


class Refused(Exception):
    """The database will never take these rows."""


class Overtaken(Exception):
    """The progress is not what it was: another loader, or a database that went back in time."""


class Store:
    """One connection to the ledger."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    @property
    def lost(self) -> bool:
        """Whether the server has closed the connection: known without asking it."""
        return bool(self._connection.is_closed())

    async def progress(self, spool_id: str) -> dict[str, int]:
        """How many bytes of each known segment are loaded."""
        rows = await self._connection.fetch(
            "SELECT segment, loaded_bytes FROM spool_progress WHERE spool_id = $1", spool_id
        )
        return {row["segment"]: row["loaded_bytes"] for row in rows}

    async def load(self, spool_id: str, segment: str, start: int, end: int, records: Sequence[Rows]) -> int:
        """Insert what is new and advance the segment's progress from `start` to `end`, both or neither.

        Returns:
            How many requests were new.

        Raises:
            Refused: a row can never be inserted. Nothing was.
            Overtaken: the progress is not at `start`. Nothing was inserted.
        """
        try:
            async with self._connection.transaction():
                new = await self._insert("requests", REQUEST_COLUMNS, [rows.request for rows in records])
                await self._insert("attempts", ATTEMPT_COLUMNS, [row for rows in records for row in rows.attempts])
                advanced = await self._connection.fetchval(_ADVANCE, spool_id, segment, start, end)
                if not advanced:
                    raise Overtaken(f"{segment} is not loaded up to {start}")
                return new
        except (OverflowError, TypeError, ValueError) as error:  # asyncpg could not encode a value as its column's type
            raise Refused(type(error).__name__) from error
        except asyncpg.PostgresError as error:
            if str(error.sqlstate).startswith(_REFUSALS):
                # The detail of such an error quotes the row.
                raise Refused(f"{error.sqlstate} {type(error).__name__}") from error
            raise

    async def forget(self, spool_id: str, kept: Sequence[str]) -> None:
        """Drop the progress of segments that are no more."""
        await self._connection.execute(
            "DELETE FROM spool_progress WHERE spool_id = $1 AND segment <> ALL($2::text[])", spool_id, kept
        )

    async def _insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> int:
        if not rows:
            return 0
        names = ", ".join(columns)
        staging = f"staged_{table}"
        await self._connection.copy_records_to_table(staging, columns=columns, records=rows)
        done = await self._connection.execute(
            # All names are this package's own, not data.
            f"INSERT INTO {table} ({names}) SELECT {names} FROM {staging} ON CONFLICT DO NOTHING"  # noqa: S608
        )
        return int(done.rpartition(" ")[2])


@contextlib.asynccontextmanager
async def open_store(dsn: str) -> AsyncIterator[Store]:
    """Connect to the ledger.

    Raises:
        UNAVAILABLE: there is no ledger now.
    """
    connection = await asyncpg.connect(
        dsn,
        timeout=_CONNECT_SECONDS,
        command_timeout=_COMMAND_SECONDS,
        server_settings={"application_name": "hybrid-loader", "lock_timeout": "30s"},
    )
    try:
        for table, columns in (("requests", REQUEST_COLUMNS), ("attempts", ATTEMPT_COLUMNS)):
            # Temporary: never in the write-ahead log, and gone with the connection. No constraints: COPY takes any row.
            await connection.execute(
                f"CREATE TEMPORARY TABLE staged_{table} ON COMMIT DELETE ROWS AS "  # noqa: S608
                f"SELECT {', '.join(columns)} FROM {table} WITH NO DATA"
            )
        yield Store(connection)
    finally:
        try:
            await connection.close(timeout=_CLOSE_SECONDS)
        except UNAVAILABLE:
            connection.terminate()
