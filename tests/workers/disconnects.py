"""Callers who leave at random moments, and what a provider has to show for it afterwards. For every provider."""

import asyncio
import contextlib
import ctypes
import dataclasses
import gc
import inspect
import random
from collections.abc import Awaitable, Callable

import psutil
from hybridinference.inference.v1 import generation_pb2 as generation

from services.workers.provider import AttemptContext, Provider
from tests.loop_clock import loop_clock

Gone = Callable[[], bool | Awaitable[bool]]

# Of one process, a thousand callers may cost no more.
MOST_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What a thousand of them come to: how many left, and by what the process and the number of its objects grew."""

    left: int
    stayed: int
    slowest_seconds: float
    grown_bytes: int
    grown_objects: int

    def __str__(self) -> str:
        return (
            f"{self.left} left and {self.stayed} stayed to the end; all was let go of within "
            f"{self.slowest_seconds * 1e3:.0f} ms; grown by {self.grown_bytes / 1024:.0f} KiB and "
            f"{self.grown_objects} objects"
        )


async def leave_at_random(
    provider: Provider,
    spec: generation.GenerationSpec,
    gone: Gone,
    *,
    times: int = 1000,
    warm_up: int = 300,
    at_once: int = 10,
    longest: float = 0.06,
    seed: int = 0,
    forget: Callable[[], None] = lambda: None,
    pid: int | None = None,
) -> Report:
    """Have callers leave, `at_once` at a time, each after up to `longest` seconds: half by closing, half by cancelling.

    Args:
        provider: whoever generates. Its answers should take longer than most callers stay.
        spec: what they ask for.
        gone: whether nothing of them is left, beyond the provider's own `load().running`: connections, slots.
        times: how many leave.
        warm_up: how many leave before memory is looked at.
        at_once: how many are there together.
        longest: how long the most patient stays, in seconds.
        seed: for what is random.
        forget: empties what the test itself remembers of them.
        pid: the process whose memory counts, where it is not this one; its objects cannot be counted.
    """
    rng = random.Random(seed)
    async with loop_clock() as clock:
        crowd = _Crowd(provider, spec, gone, longest, clock)
        await crowd.come_and_go(warm_up, at_once, rng)
        for _ in range(3):  # a heap that settles grows once, a leak grows each time
            forget()
            crowd.left, crowd.stayed = 0, 0
            objects, size = _memory(pid)
            await crowd.come_and_go(times, at_once, rng)
            forget()
            objects_after, size_after = _memory(pid)
            report = Report(crowd.left, crowd.stayed, crowd.slowest, size_after - size, objects_after - objects)
            if report.grown_bytes < MOST_BYTES and report.grown_objects < times // 2:
                break
    return report


class _Crowd:
    def __init__(
        self,
        provider: Provider,
        spec: generation.GenerationSpec,
        gone: Gone,
        longest: float,
        clock: Callable[[], float],
    ) -> None:
        self._provider = provider
        self._spec = spec
        self._gone = gone
        self._longest = longest
        self._clock = clock
        self.left = 0
        self.stayed = 0
        self.slowest = 0.0

    async def come_and_go(self, times: int, at_once: int, rng: random.Random) -> None:
        for _ in range(times // at_once):
            await self._together(at_once, rng)

    async def _together(self, size: int, rng: random.Random) -> None:
        """Some callers, all gone at the end, and everything that was held for them within a second."""
        tasks = [
            asyncio.create_task(self._caller(rng.uniform(0, self._longest), closes=rng.random() < 0.5))
            for _ in range(size)
        ]
        await asyncio.gather(*tasks)
        begun = self._clock()
        async with asyncio.timeout(30):
            while self._provider.load().running or not await self._is_gone():
                assert self._clock() - begun < 1, "not everything is let go of within a second"
                await asyncio.sleep(0.002)
        self.slowest = max(self.slowest, self._clock() - begun)

    async def _is_gone(self) -> bool:
        answer = self._gone()
        return await answer if inspect.isawaitable(answer) else answer

    async def _caller(self, stays: float, *, closes: bool) -> None:
        reading = asyncio.create_task(self._read(asyncio.get_running_loop().time() + stays if closes else None))
        # Whoever waits for a next event that does not come cannot close, only be cancelled.
        await asyncio.wait([reading], timeout=stays + self._longest if closes else stays)
        reading.cancel()
        try:
            whole = await reading
        except asyncio.CancelledError:
            whole = False
        if whole:
            self.stayed += 1
        else:
            self.left += 1

    async def _read(self, until: float | None) -> bool:
        """Read on, to the end (True) or to the first event after a moment."""
        loop = asyncio.get_running_loop()
        events = self._provider.generate(self._spec, AttemptContext())
        async with contextlib.aclosing(events):
            async for event in events:
                if event.HasField("finished"):
                    return True
                if until is not None and loop.time() >= until:
                    return False
        return False


def _memory(pid: int | None) -> tuple[int, int]:
    """How many objects there are, and how large the process is."""
    if pid is not None:
        return 0, int(psutil.Process(pid).memory_info().rss)
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # glibc's alone: what is free need not be given back otherwise
        ctypes.CDLL(None).malloc_trim(0)
    return len(gc.get_objects()), int(psutil.Process().memory_info().rss)
