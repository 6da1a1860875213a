"""The ledger, as the loader writes it."""

import contextlib
from collections.abc import AsyncIterator, Sequence

import asyncpg

from services.gateway.database import UNAVAILABLE
from services.gateway.loader.rows import Row, Rows
from services.gateway.loader.tables import STAGING, SUMS, TABLES
from services.gateway.schema import Known

_CONNECT_SECONDS = 5.0
_COMMAND_SECONDS = 60.0
_CLOSE_SECONDS = 2.0
_DAY_SECONDS = 86_400

# SQLSTATE classes and codes that a row's content can cause: data exception, unique and check violation, program limit.
# A missing value or table is not among them: that is a schema of another version, and would bury every row.
_REFUSALS = ("22", "23505", "23514", "54")

# First of all, since it keeps a second loader of the same spool waiting until it is known who was overtaken.
_ADVANCE = """
INSERT INTO spool_progress AS known (spool_id, segment, loaded_bytes)
SELECT $1::uuid, $2::text, $4::bigint
WHERE $3::bigint = 0 OR EXISTS (SELECT FROM spool_progress WHERE spool_id = $1 AND segment = $2)
ON CONFLICT (spool_id, segment) DO UPDATE SET loaded_bytes = excluded.loaded_bytes, loaded_at = now()
WHERE known.loaded_bytes = $3
RETURNING 1
"""
_NEW = "SELECT coalesce(sum(requests), 0)::bigint FROM staged_requests_hourly"


class Refused(Exception):
    """The database will never take these rows."""


class Overtaken(Exception):
    """The progress is not what it was: another loader, or a database that went back in time."""


class Store:
    """One connection to the ledger."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        # Days whose months have partitions, as far as this connection has asked.
        self._days: set[int] = set()

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
        """Insert what is new, add it to its hours' sums, and advance the segment's progress: all of it or nothing.

        Returns:
            How many requests were new.

        Raises:
            Refused: a row can never be inserted. Nothing was.
            Overtaken: the progress is not at `start`. Nothing was inserted.
        """
        try:
            await self._make_room({day for rows in records for day in rows.days})
            async with self._connection.transaction():
                if not await self._connection.fetchval(_ADVANCE, spool_id, segment, start, end):
                    raise Overtaken(f"{segment} is not loaded up to {start}")
                return await self._insert(records) if records else 0
        except (OverflowError, TypeError, ValueError) as error:  # asyncpg could not encode a value as its column's type
            raise Refused(type(error).__name__) from error
        except asyncpg.PostgresError as error:
            if str(error.sqlstate).startswith(_REFUSALS) and not _without_partition(error):
                # The detail of such an error quotes the row.
                raise Refused(f"{error.sqlstate} {type(error).__name__}") from error
            raise

    async def forget(self, spool_id: str, kept: Sequence[str]) -> None:
        """Drop the progress of segments that are no more."""
        await self._connection.execute(
            "DELETE FROM spool_progress WHERE spool_id = $1 AND segment <> ALL($2::text[])", spool_id, kept
        )

    async def _make_room(self, days: set[int]) -> None:
        """Partitions for the months of those days. They are made ahead of time, so there is next to nothing to do."""
        for day in sorted(days - self._days):
            await self._connection.execute("SELECT add_ledger_month(to_timestamp($1::bigint))", day * _DAY_SECONDS)
            self._days.add(day)

    async def _insert(self, records: Sequence[Rows]) -> int:
        staged: dict[str, Sequence[Row]] = {
            "prices": [row for rows in records for row in rows.prices],
            "contents": [rows.content for rows in records if rows.content],
            "requests": [rows.request for rows in records if rows.request],
            "attempts": [row for rows in records for row in rows.attempts],
        }
        for table in TABLES:
            if rows := staged[table.name]:
                await self._connection.copy_records_to_table(table.staging, columns=table.columns, records=rows)
                await self._connection.fetch(table.insert)
        new = int(await self._connection.fetchval(_NEW))
        for sums in SUMS:
            if staged[sums.of]:
                await self._connection.fetch(sums.add)
        return new


def _without_partition(error: asyncpg.PostgresError) -> bool:
    # Its month was dropped since we asked for it: no fault of the row, and with the next connection we ask again.
    return error.sqlstate == "23514" and not error.as_dict().get("constraint_name")


@contextlib.asynccontextmanager
async def open_store(dsn: str, known: Known | None = None) -> AsyncIterator[Store]:
    """Connect to the ledger, and have its tables checked where it is not known yet that they are right.

    Raises:
        UNAVAILABLE: there is no ledger now.
        SchemaUnknown: there is one, of another release.
    """
    connection = await asyncpg.connect(
        dsn,
        timeout=_CONNECT_SECONDS,
        command_timeout=_COMMAND_SECONDS,
        server_settings={"application_name": "hybrid-loader", "lock_timeout": "30s", "jit": "off"},
    )
    try:
        if known:
            await known.require(connection)
        await connection.execute(STAGING)
        yield Store(connection)
    finally:
        try:
            await connection.close(timeout=_CLOSE_SECONDS)
        except UNAVAILABLE:
            connection.terminate()
