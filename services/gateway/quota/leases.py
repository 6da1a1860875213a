"""What gateways may use of keys' limits, in PostgreSQL."""

import asyncio
import itertools
import time
from collections.abc import Sequence

import asyncpg
import structlog

from services.gateway.database import Database, DatabaseAway
from services.gateway.quota.allowance import Lease, Wish
from services.gateway.quota.quota_metrics import QuotaMetrics
from services.gateway.quota.window import Measure

LOG = structlog.get_logger()

# Nobody waits longer for a lease: a database that hangs is as good as away.
_PATIENCE_SECONDS = 2.0

_LEASE = """
SELECT measure, period_start, most, others, amount
FROM lease_quota($1, $2, $3, $4::text[], $5::timestamptz[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
    $10::bigint[])
"""

_SEEN = """
INSERT INTO gateway_runs (gateway_run, gateway, spool_id) VALUES ($1, $2, $3)
ON CONFLICT (gateway_run) DO UPDATE SET seen_at = now()
"""

_END = "UPDATE gateway_runs SET ended_at = now() WHERE gateway_run = $1"

_LOST = "SELECT gateway_run FROM gateway_runs WHERE spool_id = $1 AND gateway_run <> $2 AND ended_at IS NULL"

_FREE_SLOTS = "DELETE FROM quota_leases WHERE gateway_run = ANY($1::uuid[]) AND measure = 'concurrency'"

_LOADED = "SELECT segment, loaded_bytes FROM spool_progress WHERE spool_id = $1"

_SETTLE = """
WITH ended AS (UPDATE gateway_runs SET ended_at = now() WHERE gateway_run = ANY($1::uuid[]))
UPDATE quota_leases AS lease SET renewed_at = now(), amount = (
    SELECT coalesce(sum(cost_nano_usd), 0) FROM requests
    WHERE requests.gateway_run = lease.gateway_run AND requests.key_id = lease.key_id
        AND received_at >= lease.period_start AND received_at < (lease.period_start AT TIME ZONE 'UTC'
            + CASE lease.measure WHEN 'usd_day' THEN interval '1 day' ELSE interval '1 month' END) AT TIME ZONE 'UTC')
WHERE gateway_run = ANY($1::uuid[]) AND measure IN ('usd_day', 'usd_month')
"""


class Leases:
    """This gateway's part of the table. Every question is one round trip, within two seconds."""

    def __init__(self, database: Database, metrics: QuotaMetrics, *, run: str, gateway: str, spool_id: str) -> None:
        self._database = database
        self._metrics = metrics
        self._run = run
        self._gateway = gateway
        self._spool_id = spool_id
        self._steps = itertools.count(1)
        self._known = False

    async def lease(self, key_id: str, wishes: Sequence[Wish]) -> dict[tuple[Measure, int], Lease]:
        """Have so much of these limits; empty where there is no such key.

        Raises:
            DatabaseAway: it does not answer, or refused. What was asked may have been done.
        """
        if not self._known:
            await self.seen()  # slots of a gateway that nobody knows do not count
        began = time.perf_counter()
        rows = await self._ask(
            _LEASE,
            key_id,
            self._run,
            next(self._steps),
            [wish.measure for wish in wishes],
            [wish.start for wish in wishes],
            [wish.limit for wish in wishes],
            [wish.held for wish in wishes],
            [wish.enough for wish in wishes],
            [wish.goal for wish in wishes],
            [wish.spare for wish in wishes],
        )
        self._metrics.seconds.observe(time.perf_counter() - began)
        return {
            (row["measure"], int(row["period_start"].timestamp())): Lease(row["most"], row["others"], row["amount"])
            for row in rows
        }

    async def seen(self) -> None:
        """Say that this gateway lives.

        Raises:
            DatabaseAway: nobody heard.
        """
        await self._ask(_SEEN, self._run, self._gateway, self._spool_id)
        self._known = True

    async def end(self) -> None:
        """Everything is settled and given back: nothing has to be found out of this gateway later.

        Raises:
            DatabaseAway: nobody heard; the next gateway with this spool finds it out.
        """
        await self._ask(_END, self._run)

    async def lost(self) -> list[str]:
        """Gateways before this one that wrote the same spool, and did not get to settle.

        Only one at a time can write a spool, so they are gone; their slots are free at once.

        Raises:
            DatabaseAway: it does not answer.
        """
        runs = [row["gateway_run"] for row in await self._ask(_LOST, self._spool_id, self._run)]
        if runs:
            await self._ask(_FREE_SLOTS, runs)
        return [str(run) for run in runs]

    async def loaded(self) -> dict[str, int]:
        """How many bytes of each segment of the spool are in the ledger.

        Raises:
            DatabaseAway: it does not answer.
        """
        return {row["segment"]: row["loaded_bytes"] for row in await self._ask(_LOADED, self._spool_id)}

    async def settle_lost(self, runs: Sequence[str]) -> None:
        """The ledger has every request of these gateways: they have spent what it says.

        Raises:
            DatabaseAway: it does not answer. It can be done again.
        """
        await self._ask(_SETTLE, runs)

    async def _ask(self, question: str, *values: object) -> list[asyncpg.Record]:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS), self._database.connection() as connection:
                rows: list[asyncpg.Record] = await connection.fetch(question, *values)
                return rows
        except TimeoutError as error:
            raise DatabaseAway("it does not answer in time") from error
        except asyncpg.PostgresError as error:
            LOG.warning("quota.refused", error=type(error).__name__, code=error.sqlstate)
            raise DatabaseAway(type(error).__name__) from error
