"""Which key is next."""

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.failure import Failure
from services.workers.openai.failures import from_response
from services.workers.vendor import failures
from services.workers.vendor.headroom import Reading
from services.workers.vendor.keys import KeyPool
from services.workers.vendor.limiter import Outcome


def answered(status: int, retry_after: str = "") -> Failure:
    return from_response(status, {"retry-after": retry_after}, b"", keys=(), now=0)


def turn(pool: KeyPool, now: float, tenant: str = "") -> list[int]:
    return list(pool.turn(tenant=tenant, now=now))


def refusal(pool: KeyPool, now: float) -> Failure:
    with pytest.raises(Failure) as caught:
        pool.turn(now=now)
    return caught.value


def test_requests_begin_with_one_key_after_the_other_and_try_each_once() -> None:
    pool = KeyPool(3, pause_seconds=60)
    assert [turn(pool, 0) for _ in range(4)] == [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]


def test_a_refused_key_is_left_alone_for_a_while() -> None:
    pool = KeyPool(2, pause_seconds=60)
    assert pool.blame(0, answered(401), now=0)
    assert turn(pool, 59) == [1]
    assert sorted(turn(pool, 60)) == [0, 1]


def test_a_limited_key_is_left_alone_for_as_long_as_it_was_told() -> None:
    pool = KeyPool(2, pause_seconds=60)
    assert pool.blame(1, answered(429, "7"), now=10)
    assert turn(pool, 16.9) == [0]
    assert sorted(turn(pool, 17)) == [0, 1]


def test_no_other_failure_shortens_the_time_that_was_told() -> None:
    pool = KeyPool(1, pause_seconds=60)
    for late in (answered(401), answered(429, "7"), answered(429, "bad")):
        pool.blame(0, answered(429, "100"), now=0)
        pool.blame(0, late, now=1)
        failure = refusal(pool, 99)
        assert (failure.reason, failure.retry_after) == (reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, 1)
    assert turn(pool, 100) == [0]


def test_with_every_key_limited_the_soonest_is_told() -> None:
    pool = KeyPool(3, pause_seconds=60)
    for number, (status, wait) in enumerate([(429, "9"), (429, "7"), (401, "")]):
        pool.blame(number, answered(status, wait), now=0)
    failure = refusal(pool, 2)
    assert failure.reason == reasons.ERROR_REASON_PROVIDER_RATE_LIMITED
    assert failure.retry_after == 5
    assert turn(pool, 7) == [1]


def test_with_every_key_refused_the_credential_is_to_blame() -> None:
    pool = KeyPool(2, pause_seconds=60)
    for number in range(2):
        pool.blame(number, answered(403), now=0)
    failure = refusal(pool, 1)
    assert failure.reason == reasons.ERROR_REASON_PROVIDER_CREDENTIAL
    assert failure.retry_after == 59


@pytest.mark.parametrize(
    ("failure", "helps"),
    [
        (answered(500), True),
        (answered(503), True),
        (answered(400), False),
        (failures.truncated(), False),
        (failures.unavailable("could not be reached"), False),
        (failures.late("connect", 1), False),
        (failures.malformed("nonsense"), False),
    ],
    ids=lambda value: str(value)[:40],
)
def test_another_key_is_tried_only_where_it_may_help(failure: Failure, helps: bool) -> None:
    pool = KeyPool(2, pause_seconds=60)
    assert pool.blame(0, failure, now=0) is helps
    assert sorted(turn(pool, 0)) == [0, 1]


def test_a_key_that_another_request_found_bad_meanwhile_is_passed_over() -> None:
    pool = KeyPool(3, pause_seconds=60)
    keys = pool.turn(now=0)
    assert next(keys) == 0
    pool.blame(1, answered(401), now=0)
    assert list(keys) == [2]


def test_a_caller_begins_with_the_same_key_whoever_comes_between() -> None:
    pool = KeyPool(3, pause_seconds=60)
    orders = {tenant: turn(pool, 0, tenant) for tenant in ("a", "b", "c", "d", "e")}
    assert len({tuple(order) for order in orders.values()}) > 1
    turn(pool, 0)
    assert {tenant: turn(pool, 0, tenant) for tenant in orders} == orders
    assert turn(pool, 0) == [1, 2, 0], "callers that are known do not move the turn of others"


@given(st.lists(st.text(max_size=5), min_size=1, max_size=20), st.integers(1, 6), st.integers(0, 5))
def test_a_key_that_is_left_alone_moves_its_callers_alone_to_what_was_next(
    tenants: list[str], size: int, bad: int
) -> None:
    pool = KeyPool(size + 1, pause_seconds=60)
    before = {tenant: turn(pool, 0, tenant) for tenant in tenants if tenant}
    pool.blame(bad % size, answered(401), now=0)
    for tenant, order in before.items():
        assert turn(pool, 1, tenant) == [number for number in order if number != bad % size]
        assert turn(pool, 60, tenant) == order


def test_a_key_that_is_full_is_passed_over_and_with_all_full_somebody_else_is_to_be_asked() -> None:
    pool = KeyPool(2, pause_seconds=60, initial_limit=1, maximum_limit=1)
    lease = pool.lease(0, now=0)
    assert turn(pool, 0) == [1]
    pool.lease(1, now=0)
    failure = refusal(pool, 0)
    assert failure.reason == reasons.ERROR_REASON_WORKER_SATURATED
    assert failure.retry_after == 1
    lease.end(Outcome.OTHER, now=1)
    assert turn(pool, 1) == [0]


def test_a_key_that_is_full_by_the_time_of_its_turn_is_passed_over() -> None:
    pool = KeyPool(2, pause_seconds=60, initial_limit=1, maximum_limit=1)
    keys = pool.turn(now=0)
    assert next(keys) == 0
    pool.lease(1, now=0)
    assert list(keys) == []


def test_a_key_with_nothing_left_is_passed_over_until_all_is_back() -> None:
    pool = KeyPool(2, pause_seconds=60)
    pool.hear(0, [Reading("requests", 100, 0, 30.0)], now=0)
    assert turn(pool, 29) == [1]
    assert sorted(turn(pool, 30)) == [0, 1]


def test_with_nothing_left_of_any_key_nobody_is_asked_until_something_may_be_back() -> None:
    pool = KeyPool(2, pause_seconds=60)
    pool.hear(0, [Reading("tokens", 5, 0, 30.0)], now=0)
    pool.hear(1, [Reading("requests", 10, 0, 30.0)], now=0)
    failure = refusal(pool, 1)
    assert failure.reason == reasons.ERROR_REASON_PROVIDER_RATE_LIMITED
    assert failure.retry_after == 2
    assert turn(pool, 3) == [1]
    assert sorted(turn(pool, 6)) == [0, 1]
