"""A clock that goes only while its event loop does, for bounds on what happens within this process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

# Where the loop stood still for longer, nobody in this process could do anything.
_LONGEST_GAP_SECONDS = 0.05
_TURN_SECONDS = 0.005


@contextlib.asynccontextmanager
async def loop_clock() -> AsyncIterator[Callable[[], float]]:
    """Tells the seconds since it began; of any in which the loop stood still, it counts 50 ms at most.

    What a timer or a peer makes slow counts in full, so that a bound still says something.
    """
    loop = asyncio.get_running_loop()
    counted, last = 0.0, loop.time()

    def seconds() -> float:
        return counted + min(loop.time() - last, _LONGEST_GAP_SECONDS)

    async def go() -> None:
        nonlocal counted, last
        while True:
            await asyncio.sleep(_TURN_SECONDS)
            counted, last = seconds(), loop.time()

    going = asyncio.create_task(go())
    try:
        yield seconds
    finally:
        going.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await going
