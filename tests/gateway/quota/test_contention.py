"""Many requests at once on one key, over two gateways and one PostgreSQL, with connections lost at every step."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import asyncpg
import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from prometheus_client import CollectorRegistry

from services.chassis.failure import Failure
from services.gateway.database import DatabaseAway, open_database
from services.gateway.identity.grant import Grant, Limits
from services.gateway.quota.quota import Quota
from services.gateway.quota.quota_metrics import QuotaMetrics
from services.gateway.quota.reservation import Need, Reservation
from tests.gateway.quota.cut import Cut
from tests.gateway.quota.keys import insert_key, leases_on

PRICE = 1_000_003  # nano-USD that a request may cost
LIMITS = Limits(usd_per_month=50 * PRICE, usd_per_day=1 << 60)
AT_ONCE = 200


class Callers:
    """Callers with one key at two gateways: some go away while they wait, and requests cost less than they might."""

    def __init__(self, quotas: list[Quota], chance: random.Random, key_id: str, *, beyond: int = 0) -> None:
        """A request may cost up to `beyond` more than what was reserved for it."""
        self.spent = 0
        self.beyond = 0
        self._quotas = quotas
        self._chance = chance
        self._most_beyond = beyond
        self.grant = Grant(key_id=key_id, owner="o", limits=LIMITS)

    async def call(self) -> None:
        """One call, to its end."""
        chance = self._chance
        await asyncio.sleep(chance.random() * 0.05)
        patience = 10 if chance.random() < 0.9 else chance.random() * 0.01
        try:
            async with asyncio.timeout(patience):
                held = await self._reserve()
        except (Failure, TimeoutError):
            return
        await asyncio.sleep(chance.random() * 0.02)
        took = PRICE if chance.random() < 0.5 else chance.randrange(PRICE)
        if self._most_beyond and took == PRICE:
            took += chance.randrange(self._most_beyond)
            self.beyond += took - PRICE
        self.spent += took
        held.settle(0, took)

    async def _reserve(self) -> Reservation:
        """Where the database does not answer, try again as clients do."""
        for _ in range(5):
            try:
                return await self._chance.choice(self._quotas).reserve(self.grant, Need(0, PRICE))
            except Failure as failure:
                if failure.reason != reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE:
                    raise
                await asyncio.sleep(0.02)
        raise TimeoutError


class Gateways:
    """Two gateways, kept in order as by their upkeep but faster."""

    def __init__(self, quotas: list[Quota], cuts: list[Cut]) -> None:
        self.quotas = quotas
        self._cuts = cuts
        self._keeping = [asyncio.create_task(_keep(quota)) for quota in quotas]

    async def settle(self) -> None:
        """Lose no connection any more, and give everything back."""
        for task in self._keeping:
            task.cancel()
        await asyncio.wait(self._keeping)
        for cut in self._cuts:
            cut.healed = True
        for quota in self.quotas:
            for account in quota.accounts.values():
                await quota.give_back(account, everything=True)
                for allowance in account.all():
                    allowance.refused_until = 0.0  # as half a second later
            quota.is_back()


@contextlib.asynccontextmanager
async def two_gateways(dsn: str, chance: random.Random | None) -> AsyncIterator[Gateways]:
    """Two gateways; with `chance` their connections are lost now and then."""
    async with contextlib.AsyncExitStack() as stack:
        quotas, cuts = [], []
        for number in range(2):
            database = await stack.enter_async_context(open_database(dsn, name=f"gateway-{number}"))
            cut = Cut(database, chance or random.Random())
            cut.healed = chance is None
            cuts.append(cut)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            quotas.append(Quota(leases_on(cut), QuotaMetrics(CollectorRegistry()), tasks, gateways=2))  # type: ignore[arg-type]
        yield Gateways(quotas, cuts)


async def _keep(quota: Quota) -> None:
    while True:
        await asyncio.sleep(0.01)
        quota.is_back()
        for account in list(quota.accounts.values()):
            with contextlib.suppress(DatabaseAway):
                await quota.give_back(account)


async def leased(connection: asyncpg.Connection, key_id: str) -> set[int]:
    """What all gateways have of the budgets of a month, the smaller one, and of a day."""
    question = "SELECT sum(amount)::bigint AS amount FROM quota_leases WHERE key_id = $1 GROUP BY measure"
    return {row["amount"] for row in await connection.fetch(question, key_id)}


async def use_up(quota: Quota, callers: Callers) -> None:
    """Spend exactly what is left, if anything is; then there is nothing."""
    left = 50 * PRICE - callers.spent
    if left > 0:
        (await quota.reserve(callers.grant, Need(0, left))).settle(0, left)
        callers.spent += left
    with pytest.raises(Failure) as caught:
        await quota.reserve(callers.grant, Need(0, 1))
    assert caught.value.reason == reasons.ERROR_REASON_QUOTA_EXHAUSTED


@pytest.mark.parametrize("seeds", [range(3), range(100, 108)], ids=["whole", "lossy"])
async def test_two_hundred_at_once_stay_within_a_budget_for_fifty_and_settle_to_the_nano_dollar(
    seeds: range, connection: asyncpg.Connection, dsn: str
) -> None:
    for seed in seeds:
        chance, key_id = random.Random(seed), f"{seed:016d}"
        await insert_key(connection, LIMITS, key_id)
        async with two_gateways(dsn, chance if seed >= 100 else None) as gateways:
            callers = Callers(gateways.quotas, chance, key_id)
            for _ in range(2):
                await asyncio.gather(*(callers.call() for _ in range(AT_ONCE)))
                assert callers.spent <= 50 * PRICE, seed
                assert min(await leased(connection, key_id), default=0) <= 50 * PRICE, seed
            await gateways.settle()
            assert await leased(connection, key_id) == {callers.spent}, seed
            await use_up(chance.choice(gateways.quotas), callers)
            await gateways.settle()
        assert callers.spent == 50 * PRICE
        assert await leased(connection, key_id) == {callers.spent}, seed


async def test_requests_that_cost_more_than_was_reserved_overspend_by_that_and_no_more(
    connection: asyncpg.Connection, dsn: str
) -> None:
    for seed in range(4):
        chance, key_id = random.Random(seed), f"{seed:016d}"
        await insert_key(connection, LIMITS, key_id)
        async with two_gateways(dsn, chance) as gateways:
            callers = Callers(gateways.quotas, chance, key_id, beyond=PRICE)
            for _ in range(2):
                await asyncio.gather(*(callers.call() for _ in range(AT_ONCE)))
                assert callers.spent <= 50 * PRICE + callers.beyond, seed
            await gateways.settle()
            assert await leased(connection, key_id) == {callers.spent}, "the ledger's sum, though it is above the limit"
            await use_up(chance.choice(gateways.quotas), callers)
