"""Keeps this gateway's leases in order: seen, given back, and those of its lost predecessors settled."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator

import structlog
from prometheus_client import CollectorRegistry

from services.chassis.beat import beat
from services.chassis.failure import Failure
from services.gateway.database import Database, DatabaseAway
from services.gateway.quota.leases import Leases
from services.gateway.quota.quota import Quota
from services.gateway.quota.quota_metrics import QuotaMetrics
from services.gateway.spool.segments import Segment, segments
from services.gateway.spool.spool import Spool

LOG = structlog.get_logger()

_TICK_SECONDS = 1.0
_SEEN_SECONDS = 4.5  # so at every fifth tick, whether that comes a little sooner or later
# Others no longer count the slots of a gateway that was not seen for 30 seconds (lease_quota, in the migrations): by
# then it has stopped to rely on them.
_LAPSE_SECONDS = 25.0
_FAREWELL_SECONDS = 5.0
# Others' tokens wait for no more than so many keys, some half a millisecond.
_AT_ONCE = 64


class Upkeep:
    """What is done once a second beside the requests."""

    def __init__(self, quota: Quota, leases: Leases, spool: Spool, directory: pathlib.Path) -> None:
        """`spool` has taken over what its earlier writers left under way; `directory` is where it is."""
        self._quota = quota
        self._leases = leases
        self._spool = spool
        self._directory = directory
        self._left: list[Segment] | None = None  # as they are once all that was taken over is on disk
        self._lost: list[str] | None = None  # not asked yet
        self._loop = asyncio.get_running_loop()
        self._seen_at = self._loop.time()

    async def follow(self) -> None:
        """Keep going until cancelled."""
        # Apart: to give back what many keys have left may take long, and who is not seen meanwhile loses its slots.
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._stay())
            tasks.create_task(self._keep_tidy())

    async def _stay(self) -> None:
        """Be seen, and know whether the database is there."""
        again_at = self._loop.time()
        while True:
            now = self._loop.time()
            if now >= again_at or self._quota.away:
                try:
                    await self._be_seen()
                    again_at = now + _SEEN_SECONDS
                except DatabaseAway:
                    self._quota.is_away()
            if self._loop.time() - self._seen_at > _LAPSE_SECONDS:
                for account in self._quota.accounts.values():
                    account.lose_slots()
            await beat(_TICK_SECONDS)

    async def _keep_tidy(self) -> None:
        while True:
            try:
                if not self._quota.away:
                    await self.tidy()
            except DatabaseAway:
                self._quota.is_away()
            await beat(_TICK_SECONDS)

    async def tidy(self) -> None:
        """Give back what is not used, and let go of what does not matter any more.

        Raises:
            DatabaseAway: nobody heard.
        """
        for number, account in enumerate(self._quota.restless(), 1):
            await self._quota.give_back(account)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        self._quota.forget()

    async def settle_lost(self) -> None:
        """Settle what gateways before this one have leased, once the ledger has all that they have spent.

        Raises:
            DatabaseAway: nobody heard.
        """
        if self._lost is None:
            self._lost = await self._leases.lost()
        if self._left is None:
            with contextlib.suppress(Failure):  # it cannot be written now
                await self._spool.flushed()
                self._left = segments(self._directory)
        if self._lost and self._left is not None and self._loaded(self._left, await self._leases.loaded()):
            await self._leases.settle_lost(self._lost)
            LOG.info("quota.lost_gateways_settled", gateways=len(self._lost))
            self._lost = []

    async def farewell(self) -> None:
        """Settle and give back everything.

        Raises:
            DatabaseAway: nobody heard.
        """
        for account in list(self._quota.accounts.values()):
            await self._quota.give_back(account, everything=True)
        if not any(one.reserved for account in self._quota.accounts.values() for one in account.all()):
            await self._leases.end()

    async def _be_seen(self) -> None:
        await self._leases.seen()
        self._seen_at = self._loop.time()
        self._quota.is_back()
        await self.settle_lost()

    def _loaded(self, left: list[Segment], loaded: dict[str, int]) -> bool:
        there = {segment.name for segment in segments(self._directory)}
        # One that is gone was loaded: the loader deletes no other.
        return all(loaded.get(one.name, 0) >= one.size or one.name not in there for one in left)


@contextlib.asynccontextmanager
async def open_quota(
    database: Database,
    registry: CollectorRegistry,
    *,
    run: str,
    gateway: str,
    gateways: int,
    spool: Spool,
    directory: pathlib.Path,
    keyless: bool = False,
) -> AsyncIterator[Quota]:
    """The limits of all keys in this gateway. Leaving settles them and gives back what is left.

    Args:
        database: where leases are.
        registry: where metrics go.
        run: this process's life, a UUIDv7.
        gateway: its name.
        gateways: how many are configured.
        spool: its own, which nobody else writes; what earlier ones left in it is taken over.
        directory: where that is.
        keyless: whether there are no keys, and so no limits: the database is left alone.
    """
    metrics = QuotaMetrics(registry)
    async with asyncio.TaskGroup() as tasks:
        leases = Leases(database, metrics, run=run, gateway=gateway, spool_id=spool.spool_id)
        quota = Quota(leases, metrics, tasks, gateways=gateways)
        if keyless:
            yield quota
            return
        upkeep = Upkeep(quota, leases, spool, directory)
        following = tasks.create_task(upkeep.follow())
        try:
            yield quota
        finally:
            following.cancel()
            await asyncio.wait((following,))
            try:
                async with asyncio.timeout(_FAREWELL_SECONDS):
                    await upkeep.farewell()
            except (DatabaseAway, TimeoutError):
                LOG.warning("quota.left_unsettled")  # the next gateway with this spool settles it
