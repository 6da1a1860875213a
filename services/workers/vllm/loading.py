"""Waiting for an engine that is being built, without leaving half of one behind."""

import asyncio
import multiprocessing
from collections.abc import Callable

from services.workers.vllm.engine import Engine
from services.workers.vllm.progress import Progress

# A thread cannot be interrupted. Importing vLLM takes 5 s; the rest fails once the engine's process is gone.
_ABANDON_SECONDS = 15.0
_LOOK_SECONDS = 0.1
_REPORT_SECONDS = 0.25


async def built(build: Callable[[], Engine], progress: Progress, report: Callable[[float], None]) -> Engine:
    """The engine that `build` makes, in a thread. Cancelling ends the engine's process, even a half-built one."""
    building = asyncio.create_task(asyncio.to_thread(build))
    told = -1.0
    try:
        while not building.done():
            if progress.share > told:
                told = progress.share
                report(told)
            await asyncio.wait({building}, timeout=_REPORT_SECONDS)
        return building.result()
    except asyncio.CancelledError:
        await _abandon(building)
        raise


async def _abandon(building: asyncio.Task[Engine]) -> None:
    deadline = asyncio.get_running_loop().time() + _ABANDON_SECONDS
    while not building.done() and asyncio.get_running_loop().time() < deadline:
        # The thread may be about to start a process, so looking once is not enough.
        for child in multiprocessing.active_children():
            child.kill()
        await asyncio.wait({building}, timeout=_LOOK_SECONDS)
    if building.done() and not building.cancelled() and building.exception() is None:
        await asyncio.to_thread(building.result().stop, 0)
