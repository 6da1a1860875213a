"""What keeps the ledger in shape: months made ahead of time, and what nobody keeps any longer removed."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import structlog
from prometheus_client import CollectorRegistry

from services.chassis import declared
from services.gateway.database import UNAVAILABLE
from services.gateway.loader import months
from services.gateway.schema import SchemaUnknown, require_schema

LOG = structlog.get_logger()

_ROUND_SECONDS = 3600.0
_RETRY_SECONDS = 60.0
_CONNECT_SECONDS = 5.0
_COMMAND_SECONDS = 300.0
_CLOSE_SECONDS = 2.0
# A loader that is away for weeks, or a database, must not find that there is no month for its rows.
_MONTHS_AHEAD = 2
# Contents may be of megabytes: little is locked, and written to the log of the database, at once.
_BATCH = 200

# Everybody asks for it and whoever has it works; it goes with the connection.
_ALONE = "SELECT pg_try_advisory_lock(hashtext('hybrid_upkeep'))"

_PARTITIONS = """
SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
WHERE inhparent IN ('requests'::regclass, 'attempts'::regclass)
"""

_CONTENTS = """
DELETE FROM contents WHERE generation_id = ANY(
    ARRAY(SELECT generation_id FROM contents WHERE keep_until < $1 ORDER BY keep_until LIMIT $2))
"""

# Of periods that are over, and so long over that nothing of them can still be settled.
_LEASES = """
DELETE FROM quota_leases WHERE period_start < $1::timestamptz - CASE measure
    WHEN 'usd_month' THEN interval '63 days' WHEN 'usd_day' THEN interval '3 days' ELSE interval '1 hour' END
AND (measure <> 'concurrency' OR NOT EXISTS (
    SELECT FROM gateway_runs run
    WHERE run.gateway_run = quota_leases.gateway_run AND run.ended_at IS NULL AND run.seen_at > $1 - interval '1 day'))
"""

# Requests say which run served them, so a run is kept as long as they are.
_RUNS = "DELETE FROM gateway_runs WHERE coalesce(ended_at, seen_at) < $1 AND seen_at < $1"

# Whose ids say nothing of when they were.
_ODD = (
    ("requests_early", "DELETE FROM requests_early WHERE received_at < $1"),
    ("requests_late", "DELETE FROM requests_late WHERE received_at < $1"),
    ("attempts_early", "DELETE FROM attempts_early WHERE placed_at < $1"),
    ("attempts_late", "DELETE FROM attempts_late WHERE placed_at < $1"),
)

SUCCEEDED = declared.Gauge(
    "hybrid_upkeep_last_success_timestamp_seconds", "When the last round without a failure was, in seconds since 1970."
)
FAILURES = declared.Counter(
    "hybrid_upkeep_failures_total",
    "Steps that failed.",
    [declared.one_of("step", ("connection", "months", "contents", "leases", "retention", "odd", "runs"))],
)
DROPPED = declared.Counter("hybrid_upkeep_partitions_dropped_total", "Partitions dropped.")
DELETED = declared.Counter(
    "hybrid_upkeep_rows_deleted_total",
    "Rows deleted.",
    [declared.one_of("table", ("contents", "quota_leases", "gateway_runs", *(table for table, _ in _ODD)))],
)

Step = tuple[str, Callable[[], Awaitable[object]]]


class UpkeepMetrics:
    """What upkeep has done."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.succeeded = SUCCEEDED.on(registry)
        self.failures = FAILURES.on(registry)
        self.dropped = DROPPED.on(registry)
        self.deleted = DELETED.on(registry)


class Upkeep:
    """Keeps one ledger in shape, also beside others that would do so."""

    def __init__(
        self,
        dsn: str,
        registry: CollectorRegistry,
        *,
        retention_months: int | None,
        clock: Callable[[], datetime.datetime],
    ) -> None:
        self._dsn = dsn
        self._metrics = UpkeepMetrics(registry)
        self._retention_months = retention_months
        self._clock = clock

    async def follow(self) -> None:
        """A round now and then, until cancelled. Never ends for want of a database."""
        while True:
            well = await self.round()
            await asyncio.sleep(_ROUND_SECONDS if well else _RETRY_SECONDS)

    async def round(self) -> bool:
        """Do what there is to do, each step by itself, unless another does it at this moment.

        Returns:
            Whether nothing failed.
        """
        try:
            async with self._connection() as connection:
                await require_schema(connection)
                if not await connection.fetchval(_ALONE):
                    return True
                return await self._steps(connection)
        except (*UNAVAILABLE, SchemaUnknown) as error:
            self._failed("connection", error)
            return False

    async def _steps(self, connection: asyncpg.Connection) -> bool:
        # A host whose clock is ahead must not throw away what is still kept.
        now = min(self._clock(), await connection.fetchval("SELECT now()"))
        steps: list[Step] = [
            ("months", lambda: self._add_months(connection, now)),
            ("contents", lambda: self._contents(connection, now)),
            ("leases", lambda: self._delete(connection, "quota_leases", _LEASES, now)),
        ]
        if self._retention_months is not None:
            kept = months.kept_from(now, self._retention_months)
            steps.append(("retention", lambda: self._drop(connection, kept)))
            steps.append(("odd", lambda: self._odd(connection, kept)))
            steps.append(("runs", lambda: self._delete(connection, "gateway_runs", _RUNS, kept)))
        well = True
        for name, step in steps:
            try:
                await step()
            except asyncpg.PostgresError as error:  # a lock that did not come, most often
                self._failed(name, error)
                well = False
        if well:
            self._metrics.succeeded.set(self._clock().timestamp())
        return well

    async def _add_months(self, connection: asyncpg.Connection, now: datetime.datetime) -> None:
        for month in months.ahead(now, _MONTHS_AHEAD):
            await connection.execute("SELECT add_ledger_month($1)", month)

    async def _drop(self, connection: asyncpg.Connection, kept: datetime.datetime) -> None:
        names = [row["relname"] for row in await connection.fetch(_PARTITIONS)]
        for month in months.over(names, kept):
            # The month's sums stay: they are for whoever pays, and say nothing of a single request.
            await connection.execute(f"DROP TABLE {', '.join(month)}")
            self._metrics.dropped.inc(len(month))
            LOG.info("upkeep.dropped", partitions=month)

    async def _odd(self, connection: asyncpg.Connection, kept: datetime.datetime) -> None:
        for table, statement in _ODD:
            await self._delete(connection, table, statement, kept)

    async def _contents(self, connection: asyncpg.Connection, now: datetime.datetime) -> None:
        while await self._delete(connection, "contents", _CONTENTS, now, _BATCH):
            pass

    async def _delete(self, connection: asyncpg.Connection, table: str, statement: str, *values: object) -> int:
        count = int((await connection.execute(statement, *values)).rpartition(" ")[2])
        self._metrics.deleted.labels(table).inc(count)
        return count

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=_CONNECT_SECONDS,
            command_timeout=_COMMAND_SECONDS,
            # While we wait for a table, all who come after us wait, too: rather try again later.
            server_settings={"application_name": "hybrid-upkeep", "lock_timeout": "1s"},
        )
        try:
            yield connection
        finally:
            try:
                await connection.close(timeout=_CLOSE_SECONDS)
            except UNAVAILABLE:
                connection.terminate()

    def _failed(self, step: str, error: BaseException) -> None:
        self._metrics.failures.labels(step).inc()
        # The type and code only: a message may quote a row or the DSN.
        LOG.warning("upkeep.failed", step=step, error=type(error).__name__, code=getattr(error, "sqlstate", None))
