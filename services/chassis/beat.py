"""When what is done again and again is done: all of a process at once, so that it wakes once for all of it."""

import asyncio

# Less than this much of a beat is left where a timer has come a little too early: that beat has been.
_EARLY = 0.1


def until_beat(seconds: float) -> float:
    """How long it is until the running loop's clock shows the next multiple of so many seconds."""
    left = seconds - asyncio.get_running_loop().time() % seconds
    return left if left > _EARLY * seconds else left + seconds


async def beat(seconds: float) -> None:
    """Sleep until then. A first beat comes sooner than the others, unless it would come at once."""
    await asyncio.sleep(until_beat(seconds))
