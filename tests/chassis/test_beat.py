"""When what is done again and again is done."""

import asyncio
import subprocess
import sys

import pytest

from services.chassis import beat as beats
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
    monkeypatch.setattr(beats, "_phase", lambda: 0.0)
    assert until_beat(seconds) == pytest.approx(left)


def test_a_timer_that_comes_early_does_not_bring_the_same_beat_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: _Clock(9.998))
    monkeypatch.setattr(beats, "_phase", lambda: 0.0)
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


def test_processes_beat_apart() -> None:
    ask = "import asyncio; from services.chassis import beat; asyncio.get_running_loop = lambda: asyncio; "
    ask += "asyncio.time = lambda: 10.0; print(beat.until_beat(1.0))"
    found = {subprocess.run([sys.executable, "-c", ask], check=True, capture_output=True).stdout for _ in range(3)}
    assert len(found) == 3
