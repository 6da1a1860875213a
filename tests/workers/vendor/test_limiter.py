"""How many requests a key may have under way."""

import math

from hypothesis import given
from hypothesis import strategies as st

from services.workers.vendor.limiter import Lease, Limiter, Outcome


def fill(limiter: Limiter, *, now: float) -> list[Lease]:
    leases = []
    while limiter.has_room:
        leases.append(limiter.begin(now=now))
    return leases


def test_a_round_of_answers_at_the_limit_adds_about_one() -> None:
    limiter = Limiter(initial=4, maximum=100)
    held = fill(limiter, now=0)
    for expected in (5, 6, 7):
        for _ in range(len(held)):
            held.pop(0).end(Outcome.WELL, now=1)
            held += fill(limiter, now=1)  # the next comes at once: every place stays taken
        assert expected - 0.5 < limiter.limit <= expected


def test_a_crowd_that_comes_and_goes_together_adds_about_one_as_well() -> None:
    limiter = Limiter(initial=1, maximum=100)
    for now in range(10):
        for lease in fill(limiter, now=now):
            lease.end(Outcome.WELL, now=now + 0.5)
    assert 9 < limiter.limit <= 11
    for _ in range(9):  # what comes after the crowd, and alone, says nothing
        limit = limiter.limit
        limiter.begin(now=20).end(Outcome.WELL, now=21)
        assert limiter.limit == limit


def test_below_the_limit_answers_say_nothing() -> None:
    limiter = Limiter(initial=4, maximum=100)
    for _ in range(100):
        limiter.begin(now=0).end(Outcome.WELL, now=1)
    assert limiter.limit == 4


def test_a_refusal_halves_it_once_for_everything_that_was_under_way() -> None:
    limiter = Limiter(initial=16, maximum=100)
    leases = fill(limiter, now=0)
    for lease in leases:
        lease.end(Outcome.REFUSED, now=1)
    assert limiter.limit == 8
    limiter.begin(now=2).end(Outcome.REFUSED, now=3)
    assert limiter.limit == 4


def test_it_stays_between_one_and_its_maximum() -> None:
    limiter = Limiter(initial=2, maximum=3)
    for now in range(10):
        limiter.begin(now=now).end(Outcome.REFUSED, now=now + 0.5)
    assert limiter.limit == 1
    assert limiter.has_room
    for now in range(100):
        leases = fill(limiter, now=now)
        leases[0].end(Outcome.WELL, now=now)
        for lease in leases[1:]:
            lease.end(Outcome.OTHER, now=now)
    assert limiter.limit == 3


def test_without_bounds_there_is_always_room() -> None:
    limiter = Limiter()
    for _ in range(1000):
        limiter.begin(now=0)
    assert limiter.has_room
    assert limiter.limit == math.inf


OUTCOMES = st.sampled_from(Outcome)
STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 1000), OUTCOMES, st.floats(0, 10)), max_size=200)


@given(st.integers(1, 20), st.integers(20, 40), STEPS)
def test_whatever_happens_every_place_is_given_back_once_and_the_limit_is_kept(
    initial: int, maximum: int, steps: list[tuple[bool, int, Outcome, float]]
) -> None:
    limiter, held, ended, now = Limiter(initial=initial, maximum=maximum), list[Lease](), list[Lease](), 0.0
    for begins, which, outcome, passed in steps:
        now += passed
        if begins and limiter.has_room:
            held.append(limiter.begin(now=now))
            assert limiter.running <= limiter.limit
        elif not begins and held:
            lease = held.pop(which % len(held))
            lease.end(outcome, now=now)
            ended.append(lease)
        elif ended:
            ended[which % len(ended)].end(outcome, now=now)  # again, which changes nothing
        assert limiter.running == len(held)
        assert 1 <= limiter.limit <= maximum
    for lease in held:
        lease.end(Outcome.OTHER, now=now)
    assert limiter.running == 0
