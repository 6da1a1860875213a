"""One timer for many waits, on a clock that moves when told."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.workers.vendor.watch import Watch


class Timer:
    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at, self.call, self.cancelled = at, call, False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """As much of a loop as a watch needs."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []
        self.set = 0

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, call: Callable[[], None]) -> Timer:
        self.set += 1
        self.timers.append(Timer(at, call))
        return self.timers[-1]

    def move(self, to: float) -> None:
        """Move on, firing what is due on the way."""
        while due := [timer for timer in self.timers if not timer.cancelled and timer.at <= to]:
            first = min(due, key=lambda timer: timer.at)
            self.timers.remove(first)
            self.now = max(self.now, first.at)
            first.call()
        self.now = to
        self.timers = [timer for timer in self.timers if not timer.cancelled]


def watch() -> tuple[Watch, Clock, list[float]]:
    clock, late = Clock(), list[float]()
    return Watch(lambda: late.append(clock.now), cast(asyncio.AbstractEventLoop, clock)), clock, late


def test_a_wait_that_is_too_long_rings_once_at_its_time() -> None:
    one, clock, late = watch()
    one.begin(by=5)
    clock.move(4.9)
    assert not one.rang
    clock.move(100)
    assert one.rang
    assert late == [5]


def test_a_thousand_waits_that_end_in_time_set_hardly_any_timer() -> None:
    one, clock, late = watch()
    for step in range(1000):
        clock.move(step * 0.01)
        one.begin(by=clock.now + 60)
        clock.move(clock.now + 0.005)
        one.end()
    clock.move(1000)
    assert not late
    assert clock.set <= 2
    assert not clock.timers


def test_a_shorter_wait_after_a_longer_one_rings_at_its_own_time() -> None:
    one, clock, late = watch()
    one.begin(by=60)
    one.end()
    one.begin(by=2)
    clock.move(100)
    assert late == [2]


def test_between_waits_and_after_the_last_nothing_rings() -> None:
    one, clock, late = watch()
    one.begin(by=5)
    one.end()
    clock.move(50)
    one.begin(by=60)
    one.close()
    clock.move(100)
    assert not late
    assert not clock.timers


@given(
    st.lists(
        st.tuples(st.floats(0.001, 10), st.floats(0, 10), st.floats(0, 3)),  # the bound, the wait, the pause after it
        max_size=30,
    )
)
def test_a_watch_rings_exactly_when_a_wait_is_longer_than_its_bound(waits: list[tuple[float, float, float]]) -> None:
    one, clock, late = watch()
    for bound, lasts, pause in waits:
        by, ends = clock.now + bound, clock.now + lasts
        one.begin(by=by)
        clock.move(ends)
        if ends >= by:
            assert late == [pytest.approx(by)]
            return
        one.end()
        clock.move(ends + pause)
        assert not late
