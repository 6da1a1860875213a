"""A second attempt beside one that is slow to begin; whichever has content first goes on."""

import asyncio
import functools
from typing import Protocol

from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.failure import Failure
from services.gateway.run import Run

Events = list[generation.GenerationEvent]


class Runner(Protocol):
    """Who runs the attempts."""

    async def content(self, run: Run) -> Events:
        """The first events of an attempt that hold content."""

    async def ask_beside(self, run: Run) -> placement.Placement | None:
        """Where a second attempt may go; None where there is to be none."""

    def begin_beside(self, placed: placement.Placement) -> Run | None:
        """Begin it; None where it cannot."""

    def unused(self, placed: placement.Placement) -> None:
        """It is not begun after all."""

    def fallen(self, run: Run, failure: Failure) -> None:
        """One of two attempts has failed."""


async def race(runner: Runner, first: Run, *, seconds: float) -> tuple[Run, Events]:
    """The attempt that has content first, with it. The other one, if there is one, is left open.

    Args:
        runner: runs the attempts.
        first: the attempt that has begun.
        seconds: how long it is given before another is asked for.

    Raises:
        Failure: the last attempt's, which is left open.
    """
    running: dict[asyncio.Task[Events], Run] = {asyncio.create_task(runner.content(first)): first}
    begun = list(running)
    asking: asyncio.Task[placement.Placement | None] | None = None
    placed: placement.Placement | None = None
    try:
        done, _ = await asyncio.wait(running, timeout=seconds)
        if not done:
            asking = asyncio.create_task(runner.ask_beside(first))
            await asyncio.wait((*running, asking), return_when=asyncio.FIRST_COMPLETED)
            # One that fails now waits for the answer: the second may take its place.
            if not _has_content(running) and (placed := await asking) is not None:
                beside = runner.begin_beside(placed)
                if beside is not None:
                    begun.append(asyncio.create_task(runner.content(beside)))
                    running[begun[-1]] = beside
        while True:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in running if task.done()]:
                failure = task.exception()
                if failure is None or len(running) == 1 or not isinstance(failure, Failure):
                    return running[task], task.result()
                runner.fallen(running.pop(task), failure)
    finally:
        left = [*begun, asking] if asking else begun
        for one in left:
            one.cancel()
        if asking and placed is None:
            # Whoever runs us may be cancelled as we wait: what comes late is given back all the same.
            asking.add_done_callback(functools.partial(_give_back, runner))
        await asyncio.gather(*left, return_exceptions=True)


def _has_content(running: dict[asyncio.Task[Events], Run]) -> bool:
    return any(task.done() and task.exception() is None for task in running)


def _give_back(runner: Runner, asking: asyncio.Task[placement.Placement | None]) -> None:
    late = None if asking.cancelled() or asking.exception() else asking.result()
    if late is not None:
        runner.unused(late)
