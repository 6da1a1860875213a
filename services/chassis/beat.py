"""When what is done again and again is done: all of a process at once, so that it wakes once for all of it."""

import asyncio
import functools
import random

# Less than this much of a beat is left where a timer has come a little too early: that beat has been.
_EARLY = 0.1


@functools.cache
def _phase() -> float:
    """Processes of a host have one clock, and beat apart."""
    return random.random()


def until_beat(seconds: float) -> float:
    """How long it is until the process's next beat of so many seconds: from a tenth more than nothing to a tenth more
    than them. Every beat of a second, or of several, is also one of its whole parts."""
    now = asyncio.get_running_loop().time() + _phase()
    left = seconds - now % seconds
    return left if left > _EARLY * seconds else left + seconds


async def beat(seconds: float) -> None:
    """Sleep until then. A first beat comes sooner than the others, unless it would come at once."""
    await asyncio.sleep(until_beat(seconds))
