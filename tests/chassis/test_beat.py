"""When what is done again and again is done."""

import asyncio
import subprocess
import sys

import pytest

from services.chassis import beat as beats
from services.chassis.beat import beat, until_beat


class _Clock:
    """A loop's clock that stands still but for who sleeps."""

    def __init__(self, now: float) -> None:
        self.now = now

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(
    ("now", "seconds", "left"),
    [(10.0, 1.0, 1.0), (10.25, 1.0, 0.75), (10.25, 0.25, 0.25), (10.3, 0.25, 0.2), (0.0, 2.0, 2.0), (11.5, 2.0, 0.5)],
)
def test_a_beat_is_at_a_multiple_of_its_seconds(
    now: float, seconds: float, left: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: _Clock(now))
    monkeypatch.setattr(beats, "_phase", lambda: 0.0)
    assert until_beat(seconds) == pytest.approx(left)


def test_a_timer_that_comes_early_does_not_bring_the_same_beat_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: _Clock(9.998))
    monkeypatch.setattr(beats, "_phase", lambda: 0.0)
    assert until_beat(1.0) == pytest.approx(1.002)


def test_two_that_began_apart_beat_together(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock(10.0)
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)
    monkeypatch.setattr(asyncio, "sleep", clock.sleep)
    before = clock.now + until_beat(2.0)

    def beaten(begins: float) -> float:
        clock.now = begins
        with pytest.raises(StopIteration):  # nothing in it really waits
            beat(2.0).send(None)
        return clock.now

    # All begin within one beat of this process, whenever that is.
    assert [beaten(before + later) for later in (0.05, 0.75, 1.75)] == [pytest.approx(before + 2.0)] * 3


def test_processes_beat_apart() -> None:
    ask = "import asyncio; from services.chassis import beat; asyncio.get_running_loop = lambda: asyncio; "
    ask += "asyncio.time = lambda: 10.0; print(beat.until_beat(1.0))"
    found = {subprocess.run([sys.executable, "-c", ask], check=True, capture_output=True).stdout for _ in range(3)}
    assert len(found) == 3
