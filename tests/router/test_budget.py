"""The retry budget."""

from hypothesis import given
from hypothesis import strategies as st

from services.config.router import Retry
from services.router.budget import RetryBudget


def _taken(budget: RetryBudget, now: float, *, tries: int) -> int:
    return sum(budget.take(now) for _ in range(tries))


def test_retries_are_a_share_of_the_requests() -> None:
    budget = RetryBudget(Retry(budget_ratio=0.2, budget_per_second=3))
    for _ in range(1000):
        budget.on_request(5.0)
    assert _taken(budget, 5.0, tries=1000) == 200


def test_few_requests_have_the_retries_that_are_always_allowed() -> None:
    budget = RetryBudget(Retry(budget_ratio=0.2, budget_per_second=3))
    budget.on_request(5.0)
    assert _taken(budget, 5.0, tries=1000) == 30


def test_nothing_allowed_is_nothing() -> None:
    budget = RetryBudget(Retry(budget_ratio=0, budget_per_second=0))
    budget.on_request(5.0)
    assert not budget.take(5.0)


def test_what_is_ten_seconds_old_counts_no_more() -> None:
    budget = RetryBudget(Retry(budget_ratio=0.2, budget_per_second=1))
    for _ in range(1000):
        budget.on_request(5.0)
    assert _taken(budget, 14.0, tries=1000) == 200
    assert _taken(budget, 15.0, tries=1000) == 0, "the requests are too old, the retries are not"
    assert _taken(budget, 24.0, tries=1000) == 0, "ten seconds, as the clock has them, have not passed since"
    assert _taken(budget, 25.0, tries=1000) == 10
    assert _taken(budget, 500.0, tries=1000) == 10


@given(
    steps=st.lists(st.tuples(st.floats(0, 3), st.integers(0, 20), st.integers(0, 20)), max_size=60),
    start=st.floats(0, 1e6),
)
def test_no_ten_seconds_have_more_retries_than_allowed(steps: list[tuple[float, int, int]], start: float) -> None:
    budget = RetryBudget(Retry(budget_ratio=0.2, budget_per_second=1))
    now, requests, retries = start, [], []
    for wait, asked, tried in steps:
        now += wait
        for _ in range(asked):
            budget.on_request(now)
            requests.append(int(now))
        for _ in range(tried):
            if budget.take(now):
                retries.append(now)
                recent = [at for at in retries if at > now - 10]
                allowed = 0.2 * sum(second > int(now) - 10 for second in requests)
                assert len(recent) <= max(allowed, 10.0)
