"""The circuit breaker of one worker."""

import random

import pytest

from services.config.router import Breaker as Settings
from services.router.breaker import Breaker, State

_SETTINGS = Settings(consecutive_failures=3, open_seconds=1.0, open_max_seconds=8.0)


def _fail(breaker: Breaker, now: float, *, probe: bool = False, may_open: bool = True) -> bool:
    return breaker.on_failure(probe=probe, now=now, rng=random.Random(7), may_open=may_open)


def _opened(now: float = 0.0) -> Breaker:
    breaker = Breaker(_SETTINGS)
    assert [_fail(breaker, now) for _ in range(3)] == [False, False, True]
    return breaker


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    breaker = _opened()
    assert breaker.state is State.OPEN
    assert not breaker.admits(0.0)


def test_a_success_in_between_starts_the_count_again() -> None:
    breaker = Breaker(_SETTINGS)
    _fail(breaker, 0.0)
    _fail(breaker, 0.0)
    breaker.on_success(probe=False, now=0.0)
    assert not _fail(breaker, 0.0)
    assert not _fail(breaker, 0.0)
    assert breaker.state is State.CLOSED


def test_the_beginning_of_an_answer_is_no_success() -> None:
    breaker = Breaker(_SETTINGS)
    for _ in range(2):
        breaker.on_first_content(probe=False, now=2.0)
        _fail(breaker, 0.0)
    breaker.on_first_content(probe=False, now=2.0)
    assert _fail(breaker, 0.0)


def test_after_its_time_one_probe_passes_and_no_second() -> None:
    breaker = _opened()
    assert breaker.admits(1.2)
    assert breaker.on_placed(1.2)
    assert breaker.state is State.HALF_OPEN
    assert not breaker.admits(1.3)


def test_the_probe_s_first_content_closes_it_on_probation() -> None:
    breaker = _opened()
    breaker.on_placed(2.0)
    assert breaker.on_first_content(probe=True, now=2.0)
    assert breaker.admits(2.0)
    assert _fail(breaker, 2.0), "one failure is enough before a whole answer has come"


def test_a_whole_answer_ends_the_probation() -> None:
    breaker = _opened()
    breaker.on_placed(2.0)
    assert breaker.on_success(probe=True, now=0.0)
    assert not _fail(breaker, 2.0)


def test_each_failed_probe_doubles_the_time_up_to_the_limit() -> None:
    breaker = _opened()
    now, waits = 0.0, []
    for _ in range(6):
        now = breaker.reopens_at
        breaker.on_placed(now)
        assert _fail(breaker, now, probe=True)
        waits.append(breaker.reopens_at - now)
    assert waits == [pytest.approx(seconds, rel=0.2001) for seconds in (2, 4, 8, 8, 8, 8)]


def test_attempts_from_before_it_opened_change_nothing() -> None:
    breaker = _opened()
    reopens_at = breaker.reopens_at
    assert not _fail(breaker, 0.5)
    assert not breaker.on_success(probe=False, now=0.0)
    assert breaker.state is State.OPEN
    assert breaker.reopens_at == reopens_at


def test_a_probe_that_ends_without_a_verdict_makes_room_for_the_next() -> None:
    breaker = _opened()
    breaker.on_placed(2.0)
    breaker.on_nothing_learned(probe=True)
    assert breaker.admits(2.0)


def test_a_probe_that_hangs_does_not_keep_the_worker_out_for_ever() -> None:
    breaker = _opened()
    breaker.on_placed(2.0)
    assert not breaker.admits(9.9)
    assert breaker.admits(10.0)


def test_a_second_failed_probe_does_not_prolong_what_the_first_began() -> None:
    breaker = _opened()
    breaker.on_placed(2.0)
    breaker.on_placed(10.0)
    _fail(breaker, 10.0, probe=True)
    reopens_at = breaker.reopens_at
    assert not _fail(breaker, 10.1, probe=True)
    assert breaker.reopens_at == reopens_at


def test_it_stays_closed_where_one_more_may_not_be_left_out_and_opens_once_it_may() -> None:
    breaker = Breaker(_SETTINGS)
    for _ in range(9):
        assert not _fail(breaker, 0.0, may_open=False)
    assert breaker.admits(0.0)
    assert _fail(breaker, 0.0)


def test_workers_that_fall_together_are_not_probed_together() -> None:
    times = set()
    rng = random.Random(3)
    for _ in range(10):
        breaker = Breaker(_SETTINGS)
        for _ in range(3):
            breaker.on_failure(probe=False, now=0.0, rng=rng, may_open=True)
        times.add(breaker.reopens_at)
        assert 0.8 <= breaker.reopens_at <= 1.2
    assert len(times) == 10


_BY_SHARE = Settings(consecutive_failures=1000)


def test_it_opens_when_too_few_of_the_last_attempts_went_well() -> None:
    breaker = Breaker(_BY_SHARE)
    for number in range(13):
        breaker.on_success(probe=False, now=float(number))
    assert not any(_fail(breaker, 13.0) for _ in range(5)), "18 are too few to tell"
    breaker.on_success(probe=False, now=13.0)
    assert not _fail(breaker, 13.0), "14 of 20 are enough"
    assert _fail(breaker, 13.0)


def test_what_went_wrong_long_ago_does_not_count() -> None:
    breaker = Breaker(_BY_SHARE)
    for _ in range(19):
        _fail(breaker, 0.0)
    assert not _fail(breaker, 31.0)
    assert breaker.state is State.CLOSED


def test_what_made_it_open_does_not_make_it_open_again() -> None:
    breaker = Breaker(_BY_SHARE)
    assert [_fail(breaker, 0.0) for _ in range(20)][-1]
    breaker.on_placed(1.5)
    breaker.on_success(probe=True, now=1.6)
    assert not any(_fail(breaker, 1.7) for _ in range(18))


def test_a_share_of_zero_never_opens_it() -> None:
    breaker = Breaker(Settings(consecutive_failures=1000, success_rate=0.0))
    assert not any(_fail(breaker, 0.0) for _ in range(500))


def test_one_that_opens_soon_again_stays_open_for_longer_and_one_that_was_well_for_long_does_not() -> None:
    breaker, now, waits = Breaker(_SETTINGS), 100.0, []
    for pause in (1.0, 1.0, 31.0):
        opened = False
        while not opened:
            opened = _fail(breaker, now)
        waits.append(breaker.reopens_at - now)
        breaker.on_placed(breaker.reopens_at)
        breaker.on_success(probe=True, now=breaker.reopens_at)
        now = breaker.reopens_at + pause
    while not _fail(breaker, now):
        pass
    waits.append(breaker.reopens_at - now)
    assert waits == [pytest.approx(seconds, rel=0.2001) for seconds in (1, 2, 4, 1)]


def test_half_the_attempts_failing_opens_it_within_25_nearly_always_whatever_was_before() -> None:
    def attempts_until_open(seed: int) -> int:
        breaker, chance = Breaker(Settings()), random.Random(seed)
        for number in range(500):
            breaker.on_success(probe=False, now=number * 0.05 - 25.0)
        for number in range(1, 1000):
            if chance.random() < 0.5:
                breaker.on_success(probe=False, now=number * 0.05)
            elif breaker.on_failure(probe=False, now=number * 0.05, rng=chance, may_open=True):
                return number
        return 1000

    counts = sorted(attempts_until_open(seed) for seed in range(1000))
    print(f"opened after {counts[500]} attempts at the median, {counts[970]} in 97 of 100, {counts[-1]} at most")
    assert counts[970] <= 25


def test_one_attempt_in_fifty_failing_never_opens_it_for_its_share() -> None:
    for seed in range(200):
        breaker, chance = Breaker(_BY_SHARE), random.Random(seed)
        for number in range(300):
            if chance.random() < 0.98:
                breaker.on_success(probe=False, now=number * 0.1)
            else:
                assert not breaker.on_failure(probe=False, now=number * 0.1, rng=chance, may_open=True)


def test_other_settings_keep_what_has_been_seen() -> None:
    breaker = Breaker(_BY_SHARE)
    for _ in range(10):
        _fail(breaker, 0.0)
    breaker.reconfigure(Settings(consecutive_failures=1000, window_attempts=11))
    assert _fail(breaker, 1.0)
