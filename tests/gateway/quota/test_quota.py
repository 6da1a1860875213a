"""The quota of one gateway, and of several, over a table of leases that may fail."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from prometheus_client import CollectorRegistry

from services.chassis.failure import Failure
from services.gateway.database import DatabaseAway
from services.gateway.identity.grant import ANYBODY, Grant, Limits
from services.gateway.quota.account import Account
from services.gateway.quota.quota import Quota
from services.gateway.quota.quota_metrics import QuotaMetrics
from services.gateway.quota.refusal import Limited
from services.gateway.quota.reservation import UNLIMITED, Need, Reservation
from tests.gateway.quota.table import Gateway, Table

NOTHING = Need(0, 0)
MORNING = 1_782_000_000.0  # some seconds after a minute's begin


class Clock:
    def __init__(self) -> None:
        self.now = MORNING

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def quota_of(gateway: Gateway, clock: Clock | None = None, *, gateways: int = 2) -> AsyncIterator[Quota]:
    async with asyncio.TaskGroup() as tasks:
        yield Quota(gateway, QuotaMetrics(CollectorRegistry()), tasks, gateways=gateways, now=clock or Clock())


def grant(**limits: int) -> Grant:
    return Grant(key_id="k", owner="o", limits=Limits(**limits))


def table_of(key: Grant) -> Table:
    return Table(k=key.limits)


async def refused(quota: Quota, key: Grant, need: Need = NOTHING) -> Failure:
    with pytest.raises(Failure) as caught:
        await quota.reserve(key, need)
    return caught.value


async def idle(quota: Quota, clock: Clock) -> None:
    """Nobody uses any key for a while, and upkeep does its work."""
    clock.now += 5
    for account in quota.restless():
        await quota.give_back(account)
    quota.forget()


async def test_a_key_without_limits_asks_nobody() -> None:
    gateway = Table().gateway()
    async with quota_of(gateway) as quota:
        assert await quota.reserve(ANYBODY, Need(10, 10)) is UNLIMITED
    assert not gateway.asked


async def test_a_request_within_the_lease_asks_nobody() -> None:
    key = grant(usd_per_day=10_000)
    gateway = table_of(key).gateway()
    async with quota_of(gateway) as quota:
        first = await quota.reserve(key, Need(0, 100))
        first.settle(0, 0)
        asked = gateway.asked
        gateway.away = True
        await quota.reserve(key, Need(0, 100))
        await quota.reserve(key, Need(0, 100))
        assert gateway.asked == asked


async def test_many_that_wait_share_one_question() -> None:
    key = grant(usd_per_day=10_000)
    gateway = table_of(key).gateway()
    async with quota_of(gateway) as quota:
        await asyncio.gather(*(quota.reserve(key, Need(0, 10)) for _ in range(100)))
        assert gateway.asked <= 2, "the first one's, and that of all who came meanwhile"


async def test_when_the_lease_runs_low_more_is_taken_ahead_of_need() -> None:
    key = grant(usd_per_day=10_000)
    gateway = table_of(key).gateway()
    async with quota_of(gateway) as quota:
        for _ in range(60):
            await quota.reserve(key, Need(0, 10))
            asked = gateway.asked
            await asyncio.sleep(0.001)
        assert gateway.asked >= asked
        assert gateway.asked < 20
        (account,) = quota.accounts.values()
        assert all(allowance.free > 0 for allowance in account.all())


async def test_the_last_unit_of_a_budget_can_be_spent_and_no_more() -> None:
    key = grant(usd_per_day=1000, usd_per_month=1000)
    async with quota_of(table_of(key).gateway()) as quota:
        for _ in range(10):
            (await quota.reserve(key, Need(0, 100))).settle(0, 100)
        failure = await refused(quota, key, Need(0, 1))
        assert failure.reason == reasons.ERROR_REASON_QUOTA_EXHAUSTED
        assert failure.metadata == {"budget": "month"}
        assert failure.retry_after is None
        await quota.reserve(key, NOTHING)


async def test_what_is_refunded_can_be_spent_at_once_after_a_refusal() -> None:
    key = grant(usd_per_day=1000)
    async with quota_of(table_of(key).gateway()) as quota:
        running = await quota.reserve(key, Need(0, 1000))
        failure = await refused(quota, key, Need(0, 500))
        assert failure.reason == reasons.ERROR_REASON_RATE_LIMITED, "it is only set aside"
        assert failure.metadata == {"limit": "usd_day"}
        running.settle(0, 500)
        await quota.reserve(key, Need(0, 500))


async def test_a_refusal_is_remembered_for_half_a_second_so_that_a_flood_asks_nobody() -> None:
    key, clock = grant(usd_per_day=100), Clock()
    gateway = table_of(key).gateway()
    async with quota_of(gateway, clock) as quota:
        await refused(quota, key, Need(0, 200))
        asked = gateway.asked
        for _ in range(100):
            await refused(quota, key, Need(0, 200))
        assert gateway.asked == asked
        clock.now += 0.6
        await refused(quota, key, Need(0, 200))
        assert gateway.asked == asked + 1


async def test_refusals_are_counted_by_the_limit_and_questions_by_what_became_of_them() -> None:
    registry = CollectorRegistry()
    key = grant(usd_per_day=100, concurrency=1)
    gateway = table_of(key).gateway()
    async with asyncio.TaskGroup() as tasks:
        quota = Quota(gateway, QuotaMetrics(registry), tasks, gateways=1, now=Clock())
        held = await quota.reserve(key, Need(0, 10))
        await refused(quota, key)
        await refused(quota, key, Need(0, 200))
        held.settle(0, 10)
        gateway.away = True
        await refused(quota, key, Need(0, 80))

    def count(name: str, **labels: str) -> float:
        return registry.get_sample_value(f"hybrid_quota_{name}_total", labels) or 0.0

    assert [count("refusals", limit=limit) for limit in ("concurrency", "usd_day", "database")] == [1, 1, 1]
    assert count("leases", outcome="away") == 1
    assert count("leases", outcome="leased") >= 1


async def test_requests_of_a_minute_come_back_with_the_next_one() -> None:
    key, clock = grant(requests_per_minute=3), Clock()
    clock.now = MORNING - MORNING % 60 + 50.5
    async with quota_of(table_of(key).gateway(), clock) as quota:
        for _ in range(3):
            (await quota.reserve(key, NOTHING)).settle(0, 0)
        failure = await refused(quota, key)
        assert isinstance(failure, Limited)
        assert (failure.reason, failure.metadata) == (reasons.ERROR_REASON_RATE_LIMITED, {"limit": "requests"})
        assert failure.retry_after == pytest.approx(9.5)
        assert failure.requests is not None
        assert (failure.requests.limit, failure.requests.remaining) == (3, 0)
        clock.now += 9.5
        await quota.reserve(key, NOTHING)


async def test_tokens_count_as_reserved_and_then_as_used() -> None:
    key = grant(tokens_per_minute=1000)
    async with quota_of(table_of(key).gateway()) as quota:
        running = await quota.reserve(key, Need(900, 0))
        assert running.tokens is not None
        assert running.tokens.remaining == 100
        assert (await refused(quota, key, Need(200, 0))).metadata == {"limit": "tokens"}
        running.settle(50, 0)
        assert running.tokens.remaining == 950
        await quota.reserve(key, Need(950, 0))


async def test_a_request_larger_than_the_limit_of_tokens_takes_a_minute_of_its_own() -> None:
    key = grant(tokens_per_minute=1000)
    async with quota_of(table_of(key).gateway()) as quota:
        (await quota.reserve(key, Need(5000, 0))).settle(1200, 0)
        await refused(quota, key, Need(1, 0))


async def test_a_slot_is_free_again_when_its_request_has_ended() -> None:
    key = grant(concurrency=2)
    async with quota_of(table_of(key).gateway()) as quota:
        one, _ = [await quota.reserve(key, NOTHING) for _ in range(2)]
        failure = await refused(quota, key)
        assert failure.metadata == {"limit": "concurrency"}
        one.settle(0, 0)
        one.settle(0, 0)
        await quota.reserve(key, NOTHING)
        await refused(quota, key)


async def test_what_one_limit_refuses_takes_nothing_of_the_others() -> None:
    key = grant(requests_per_minute=100, concurrency=1)
    async with quota_of(table_of(key).gateway()) as quota:
        running = await quota.reserve(key, NOTHING)
        for _ in range(20):
            await refused(quota, key)
        assert running.requests is not None
        assert running.requests.remaining == 99


async def test_who_is_not_accepted_after_all_has_taken_nothing() -> None:
    key = grant(requests_per_minute=1)
    async with quota_of(table_of(key).gateway()) as quota:
        (await quota.reserve(key, NOTHING)).cancel()
        await quota.reserve(key, NOTHING)


async def test_a_raised_limit_counts_with_the_next_request() -> None:
    key = grant(usd_per_day=100)
    table = table_of(key)
    async with quota_of(table.gateway()) as quota:
        await refused(quota, key, Need(0, 150))
        key = grant(usd_per_day=200)
        table.limits["k"] = key.limits
        await quota.reserve(key, Need(0, 150))


async def test_a_request_counts_in_the_period_in_which_it_was_received() -> None:
    key, clock = grant(usd_per_day=1000), Clock()
    table = table_of(key)
    async with quota_of(table.gateway(), clock) as quota:
        midnight = MORNING - MORNING % 86_400 + 86_400
        clock.now = midnight - 0.001
        late = await quota.reserve(key, Need(0, 900))
        clock.now = midnight + 1
        await quota.reserve(key, Need(0, 900))
        late.settle(0, 7)
        (account,) = quota.accounts.values()
        await quota.give_back(account)
        assert {start: sum(a for _, a in rows.values()) for (_, _, start), rows in table.leases.items()} == {
            midnight - 86_400: 7,
            midnight: 900 + (1000 - 900) // 20,
        }


async def test_a_smaller_placement_frees_money_and_a_dearer_attempt_takes_it_again() -> None:
    key = grant(usd_per_day=1000)
    async with quota_of(table_of(key).gateway()) as quota:
        one = await quota.reserve(key, Need(0, 1000))
        one.shrink(300)
        one.shrink(500)
        two = await quota.reserve(key, Need(0, 600))
        with pytest.raises(Failure):
            await one.cover(500)
        two.settle(0, 100)
        await one.cover(900)
        await refused(quota, key, Need(0, 1))
        one.settle(0, 900)
        assert (await refused(quota, key, Need(0, 1))).reason == reasons.ERROR_REASON_QUOTA_EXHAUSTED


@pytest.mark.parametrize("moment", range(1, 7))
async def test_who_goes_away_while_waiting_leaves_nothing_behind(moment: int) -> None:
    key = grant(usd_per_day=1000, concurrency=10, requests_per_minute=10)
    gateway = table_of(key).gateway()
    async with quota_of(gateway) as quota:
        waiting = asyncio.create_task(quota.reserve(key, Need(0, 100)))
        for _ in range(moment):
            await asyncio.sleep(0)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            (await waiting).cancel()
        (account,) = quota.accounts.values()
        assert not account.waiting
        assert not any(allowance.used for allowance in account.all())


async def test_a_deadline_ends_the_wait() -> None:
    key = grant(usd_per_day=1000)
    gateway = table_of(key).gateway()
    gateway.answers = asyncio.Event()
    async with quota_of(gateway) as quota:
        with pytest.raises(Failure) as caught:
            await quota.reserve(key, Need(0, 100), until=asyncio.get_running_loop().time() + 0.01)
        assert caught.value.reason == reasons.ERROR_REASON_DEADLINE_EXCEEDED
        gateway.answers.set()


async def test_without_the_database_a_budget_serves_within_its_lease_and_then_says_when_to_come_back() -> None:
    key = grant(usd_per_day=10_000)
    gateway = table_of(key).gateway()
    async with quota_of(gateway) as quota:
        (await quota.reserve(key, Need(0, 500))).settle(0, 0)
        gateway.away = True
        for _ in range((500 + 9500 // 20) // 100):
            (await quota.reserve(key, Need(0, 100))).settle(0, 100)
        failure = await refused(quota, key, Need(0, 100))
        assert failure.reason == reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE
        assert failure.retry_after
        gateway.away = False
        quota.is_back()
        await quota.reserve(key, Need(0, 100))


async def test_who_waits_behind_a_return_that_nobody_hears_asks_no_second_time() -> None:
    key = grant(usd_per_day=10_000)
    gateway = table_of(key).gateway()

    async def give_back(quota: Quota, account: Account) -> None:
        try:
            await quota.give_back(account, everything=True)
        except DatabaseAway:
            quota.is_away()

    async with quota_of(gateway) as quota:
        (await quota.reserve(key, Need(0, 100))).settle(0, 0)
        (account,) = quota.accounts.values()
        gateway.answers = asyncio.Event()
        giving = asyncio.create_task(give_back(quota, account))
        waiting = asyncio.create_task(refused(quota, key, Need(0, 9_000)))
        for _ in range(5):
            await asyncio.sleep(0)
        assert account.waiting
        asked = gateway.asked
        gateway.away = True
        gateway.answers.set()
        await giving
        assert (await waiting).reason == reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE
        assert gateway.asked == asked, "each question may take two seconds, and nobody waits for longer"


async def test_without_the_database_limits_of_a_minute_and_slots_fall_back_to_an_equal_part() -> None:
    key = grant(requests_per_minute=10, tokens_per_minute=1000, concurrency=4)
    gateway = table_of(key).gateway()
    gateway.away = True
    async with quota_of(gateway, gateways=2) as quota:
        running = [await quota.reserve(key, Need(50, 0)) for _ in range(2)]
        assert (await refused(quota, key)).metadata == {"limit": "concurrency"}
        for one in running:
            one.settle(50, 0)
        for _ in range(3):
            (await quota.reserve(key, Need(50, 0))).settle(50, 0)
        assert (await refused(quota, key)).metadata == {"limit": "requests"}
        assert gateway.asked == 1, "nobody waits for a database that is known to be away"


async def test_what_was_used_without_the_database_is_written_down_when_it_is_back() -> None:
    key = grant(requests_per_minute=10)
    table = table_of(key)
    gateway = table.gateway()
    gateway.away = True
    async with quota_of(gateway, gateways=2) as quota:
        for _ in range(5):
            await quota.reserve(key, NOTHING)
        gateway.away = False
        quota.is_back()
        (account,) = quota.accounts.values()
        await quota.give_back(account)
        assert table.amounts("k", "requests") == 5


async def test_a_key_that_is_idle_gives_everything_back_to_the_others() -> None:
    key, clock = grant(usd_per_day=10_000, concurrency=100), Clock()
    table = table_of(key)
    async with quota_of(table.gateway(), clock) as quota, quota_of(table.gateway(), clock) as other:
        (await quota.reserve(key, Need(0, 100))).settle(0, 40)
        assert table.amounts("k", "usd_day") > 500
        clock.now += 3
        (account,) = quota.accounts.values()
        await quota.give_back(account)
        assert table.amounts("k", "usd_day") == 40
        assert table.amounts("k", "concurrency") == 0
        await other.reserve(key, Need(0, 9960))


async def test_keys_are_forgotten_once_nothing_of_them_matters() -> None:
    key, clock = grant(requests_per_minute=10, concurrency=2), Clock()
    async with quota_of(table_of(key).gateway(), clock) as quota:
        (await quota.reserve(key, NOTHING)).settle(0, 0)
        clock.now += 120
        for account in list(quota.accounts.values()):
            await quota.give_back(account)
        quota.forget()
        assert not quota.accounts


@pytest.mark.parametrize("seed", range(30))
async def test_two_gateways_with_lost_connections_never_spend_more_than_the_limit_and_settle_to_the_unit(
    seed: int,
) -> None:
    chance = random.Random(seed)
    key, clock = grant(usd_per_day=5000, usd_per_month=20_000, concurrency=40), Clock()
    table = table_of(key)
    gateways = [table.gateway(chance) for _ in range(2)]
    spent = 0

    async def call(quota: Quota) -> None:
        nonlocal spent
        most = chance.randrange(1, 300)
        try:
            async with asyncio.timeout(chance.random() * 0.02):
                held: Reservation = await quota.reserve(key, Need(0, most))
        except (Failure, TimeoutError):
            return
        await asyncio.sleep(chance.random() * 0.003)
        if chance.random() < 0.5:
            most = chance.randrange(most + 1)
            held.shrink(most)
        took = chance.randrange(most + 1)
        spent += took
        held.settle(0, took)

    async def keep(quota: Quota) -> None:
        while True:
            await asyncio.sleep(0.002)
            quota.is_back()
            for account in list(quota.accounts.values()):
                with contextlib.suppress(Exception):
                    await quota.give_back(account)

    async with quota_of(gateways[0], clock) as one, quota_of(gateways[1], clock) as two:
        keeping = [asyncio.create_task(keep(quota)) for quota in (one, two)]
        for _ in range(10):
            await asyncio.gather(*(call(chance.choice((one, two))) for _ in range(30)))
            assert spent <= 5000
            assert table.amounts("k", "usd_day") <= 5000
        for task in keeping:
            task.cancel()
        await asyncio.wait(keeping)
        await asyncio.sleep(0.005)  # what came late
        for gateway in gateways:
            gateway.chance = None
        for quota in (one, two):
            for account in quota.accounts.values():
                await quota.give_back(account, everything=True)
        assert table.amounts("k", "usd_day") == table.amounts("k", "usd_month") == spent
        assert table.amounts("k", "concurrency") == 0
        assert spent > 2500, "the test is about something"


async def test_a_request_that_sets_nothing_aside_is_remembered_while_it_is_under_way() -> None:
    """It is where it costs nothing, and its next attempt may be where it does."""
    key, clock = grant(usd_per_day=1000), Clock()
    table = table_of(key)
    async with quota_of(table.gateway(), clock) as quota:
        free = await quota.reserve(key, Need(0, 100))
        free.shrink(0)
        await idle(quota, clock)
        other = await quota.reserve(key, Need(0, 600))
        await free.cover(200)
        assert table.amounts("k", "usd_day") >= 800, "both are within what is leased"
        free.settle(0, 200)
        other.settle(0, 600)
        await idle(quota, clock)
        assert table.amounts("k", "usd_day") == 800


async def test_what_such_a_request_costs_after_midnight_counts_in_its_own_day() -> None:
    key, clock = grant(usd_per_day=1000), Clock()
    table = table_of(key)
    async with quota_of(table.gateway(), clock) as quota:
        free = await quota.reserve(key, Need(0, 100))
        free.shrink(0)
        clock.now += 86_400
        (await quota.reserve(key, Need(0, 100))).settle(0, 0)
        await idle(quota, clock)
        await free.cover(200)
        free.settle(0, 50)
        await idle(quota, clock)
        assert table.amounts("k", "usd_day") == 50


async def test_nothing_is_done_for_a_key_that_rests_until_it_is_used_again_or_a_period_ends() -> None:
    key, clock = grant(usd_per_day=1000), Clock()
    async with quota_of(table_of(key).gateway(), clock) as quota:
        held = await quota.reserve(key, Need(0, 100))
        await idle(quota, clock)
        assert quota.restless(), "a request is under way"
        held.settle(0, 50)
        await idle(quota, clock)
        assert not quota.restless()
        (await quota.reserve(key, Need(0, 100))).cancel()
        assert quota.restless()
        await idle(quota, clock)
        assert not quota.restless()
        clock.now += 86_400
        assert quota.restless()
        await idle(quota, clock)
        assert not quota.accounts


async def test_upkeep_does_not_wait_for_a_key_whose_limits_are_being_asked() -> None:
    key = grant(usd_per_day=1000)
    gateway = table_of(key).gateway()
    gateway.answers = asyncio.Event()
    async with quota_of(gateway) as quota:
        waiting = asyncio.create_task(quota.reserve(key, Need(0, 100)))
        await asyncio.sleep(0.001)
        (account,) = quota.accounts.values()
        async with asyncio.timeout(1):
            await quota.give_back(account)
        gateway.answers.set()
        await waiting


async def test_a_gateway_alone_has_its_part_by_as_many_as_are_configured_now() -> None:
    key = grant(requests_per_minute=8)
    gateway = table_of(key).gateway()
    gateway.away = True
    async with quota_of(gateway, gateways=2) as quota:
        (await quota.reserve(key, NOTHING)).settle(0, 0)
        quota.reconfigure(gateways=4)
        (await quota.reserve(key, NOTHING)).settle(0, 0)
        await refused(quota, key)


async def test_of_an_overspent_budget_what_is_free_is_still_served() -> None:
    key = grant(usd_per_day=1000)
    async with quota_of(table_of(key).gateway()) as quota:
        (await quota.reserve(key, Need(0, 1000))).settle(0, 1001)
        assert (await refused(quota, key, Need(0, 1))).reason == reasons.ERROR_REASON_QUOTA_EXHAUSTED
        await quota.reserve(key, NOTHING)


async def test_a_budget_of_which_nine_tenths_are_used_is_counted_until_its_day_is_over() -> None:
    key, clock, registry = grant(usd_per_day=1000), Clock(), CollectorRegistry()

    def nearly_spent() -> float | None:
        return registry.get_sample_value("hybrid_quota_budgets_nearly_spent", {"limit": "usd_day"})

    gateway = table_of(key).gateway()
    async with asyncio.TaskGroup() as tasks:
        quota = Quota(gateway, QuotaMetrics(registry), tasks, gateways=1, now=clock)
        (await quota.reserve(key, Need(0, 899))).settle(0, 899)
        assert nearly_spent() == 0
        (await quota.reserve(key, Need(0, 1))).settle(0, 1)
        assert nearly_spent() == 1
        await idle(quota, clock)
        assert nearly_spent() == 1
        clock.now += 86_400
        assert nearly_spent() == 0
