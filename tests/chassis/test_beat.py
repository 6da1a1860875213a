"""When what is done again and again is done."""

import asyncio
import itertools
import os

import pytest

from services.chassis.beat import beat, until_beat


class _Clock:
    """A loop's clock that stands still."""

    def __init__(self, now: float) -> None:
        self.now = now

    def time(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("now", "seconds", "left"),
    [(10.0, 1.0, 1.0), (10.25, 1.0, 0.75), (10.25, 0.25, 0.25), (10.3, 0.25, 0.2), (0.0, 2.0, 2.0), (11.5, 2.0, 0.5)],
)
def test_a_beat_is_at_a_multiple_of_its_seconds(
    now: float, seconds: float, left: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: _Clock(now))
    monkeypatch.setattr(os, "getpid", lambda: 0)
    assert until_beat(seconds) == pytest.approx(left)


def test_a_timer_that_comes_early_does_not_bring_the_same_beat_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: _Clock(9.998))
    monkeypatch.setattr(os, "getpid", lambda: 0)
    assert until_beat(1.0) == pytest.approx(1.002)


async def test_two_that_began_apart_beat_together() -> None:
    loop, seen = asyncio.get_running_loop(), []

    async def one(later: float) -> None:
        await asyncio.sleep(later)
        await beat(2.0)
        seen.append(loop.time())

    # Both begin within one beat, and are as far from its end as may be.
    first = until_beat(2.0) % 2.0
    await asyncio.gather(one(first + 0.05), one(first + 0.75))
    assert abs(seen[1] - seen[0]) < 0.35


def test_processes_that_are_begun_one_after_the_other_beat_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: _Clock(10.0))
    found = []
    for pid in range(1000, 1005):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        found.append(until_beat(1.0) % 1.0)
    found.sort()
    assert min(later - sooner for sooner, later in itertools.pairwise(found)) > 0.1
