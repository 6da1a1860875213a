"""One key after the other, with a place held for as long as one is asked."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis.failure import Failure
from services.workers.openai.failures import from_response
from services.workers.provider import AttemptContext
from services.workers.vendor import failures
from services.workers.vendor.asking import answered
from services.workers.vendor.keys import KeyPool


def status(code: int) -> Failure:
    return from_response(code, {}, b"", keys=(), now=0)


class Vendor:
    """Fails as it is told, key by key, and knows who is being asked."""

    def __init__(self, *ways: Failure | None) -> None:
        self.ways = list(ways)
        self.asked: list[int] = []
        self.open = 0

    @contextlib.asynccontextmanager
    async def ask(self, key: int) -> AsyncIterator[int]:
        self.asked.append(key)
        self.open += 1
        try:
            await asyncio.sleep(0)
            way = self.ways.pop(0) if self.ways else None
            if way is not None:
                raise way
            yield key
        finally:
            self.open -= 1


async def ask(pool: KeyPool, vendor: Vendor, context: AttemptContext) -> int:
    async with answered(pool, context, vendor.ask) as key:
        assert vendor.open == pool.leases == 1
        return key


async def test_each_try_is_told_with_its_key_reason_and_status() -> None:
    pool, context = KeyPool(3, pause_seconds=60), AttemptContext()
    assert await ask(pool, Vendor(status(401), status(429)), context) == 2
    tries = [(one.key, one.reason, one.http_status) for one in context.tries]
    assert tries == [
        (0, reasons.ERROR_REASON_PROVIDER_CREDENTIAL, 401),
        (1, reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, 429),
    ]
    assert pool.leases == 0


async def test_a_known_caller_is_served_with_its_own_key_first() -> None:
    pool, vendor = KeyPool(5, pause_seconds=60), Vendor()
    for _ in range(3):
        await ask(pool, vendor, AttemptContext(tenant="a"))
    assert len(set(vendor.asked)) == 1


async def test_what_fails_once_it_is_there_is_not_asked_again() -> None:
    pool, vendor, context = KeyPool(3, pause_seconds=60, initial_limit=8, maximum_limit=8), Vendor(), AttemptContext()
    with pytest.raises(Failure) as caught:
        async with answered(pool, context, vendor.ask):
            raise failures.overloaded(None)
    assert caught.value.reason == reasons.ERROR_REASON_PROVIDER_OVERLOADED
    assert (len(vendor.asked), len(context.tries), pool.leases, vendor.open) == (1, 0, 0, 0)


async def test_a_limit_told_in_the_middle_of_an_answer_is_kept_by_whoever_comes_next() -> None:
    pool, vendor = KeyPool(1, pause_seconds=60), Vendor()
    with pytest.raises(Failure):
        async with answered(pool, AttemptContext(), vendor.ask):
            raise failures.rate_limited(7)
    with pytest.raises(Failure) as caught:
        await ask(pool, vendor, AttemptContext())
    assert caught.value.reason == reasons.ERROR_REASON_PROVIDER_RATE_LIMITED
    assert len(vendor.asked) == 1


async def test_a_vendor_that_refuses_for_lack_of_room_gets_less_of_it() -> None:
    pool = KeyPool(1, pause_seconds=60, initial_limit=2, maximum_limit=8)
    with pytest.raises(Failure):
        await ask(pool, Vendor(status(503)), AttemptContext())
    async with answered(pool, AttemptContext(), Vendor().ask):
        with pytest.raises(Failure) as caught:
            await ask(pool, Vendor(), AttemptContext())
    assert caught.value.reason == reasons.ERROR_REASON_WORKER_SATURATED


WAYS = [None, None, 401, 429, 500, 503, 400]


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 1 << 32))
def test_however_requests_end_no_place_is_lost_or_taken_twice(seed: int) -> None:
    rng = random.Random(seed)
    pool = KeyPool(3, pause_seconds=0.001, initial_limit=4, maximum_limit=8)
    vendor = Vendor(*(status(code) if code else None for code in rng.choices(WAYS, k=60)))

    async def one() -> None:
        async with answered(pool, AttemptContext(tenant=rng.choice(["", "a", "b"])), vendor.ask):
            assert pool.leases >= vendor.open >= 1
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
            if rng.random() < 0.2:
                raise rng.choice([failures.truncated(), failures.overloaded(None), ValueError()])

    async def all_of_them() -> None:
        tasks = []
        for _ in range(40):
            tasks.append(asyncio.create_task(one()))
            if rng.random() < 0.5:
                await asyncio.sleep(0)
            if rng.random() < 0.3:
                rng.choice(tasks).cancel()
            assert pool.leases <= 3 * 8
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(all_of_them())
    assert (pool.leases, vendor.open) == (0, 0)
