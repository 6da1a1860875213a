"""Callers who leave at random moments, and what a provider has to show for it afterwards. For every provider."""

import asyncio
import contextlib
import ctypes
import dataclasses
import gc
import random
import time
import tracemalloc
from collections.abc import Callable

import psutil
from hybridinference.inference.v1 import generation_pb2 as generation

from services.workers.provider import AttemptContext, Provider


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What a thousand of them come to. Growth in bytes a thousand, in Python's memory and in the process's."""

    left: int
    ended: int
    slowest_seconds: float
    python_growth: float
    process_growth: float

    def __str__(self) -> str:
        return (
            f"{self.left} left and {self.ended} stayed; all was let go of within {self.slowest_seconds * 1e3:.0f} ms; "
            f"per thousand, Python's memory grew by {self.python_growth / 1024:.0f} KiB, "
            f"the process by {self.process_growth / 1024:.0f} KiB"
        )


async def leave_at_random(
    provider: Provider,
    spec: generation.GenerationSpec,
    gone: Callable[[], bool],
    *,
    times: int = 1000,
    warm_up: int = 500,
    at_once: int = 25,
    longest: float = 0.05,
    seed: int = 0,
    forget: Callable[[], None] = lambda: None,
) -> Report:
    """Have callers leave, `at_once` at a time, each after up to `longest` seconds: half by closing, half by cancelling.

    Args:
        provider: whoever generates. Its answers should take longer than most callers stay.
        spec: what they ask for.
        gone: whether nothing of them is left, beyond the provider's own `load().running`: connections, slots.
        times: how many leave.
        warm_up: how many leave before memory is measured.
        at_once: how many are there together.
        longest: how long the most patient stays, in seconds.
        seed: for what is random.
        forget: empties what the test itself remembers of them.
    """
    rng = random.Random(seed)
    crowd = _Crowd(provider, spec, gone, longest)
    for _ in range(warm_up // at_once):
        await crowd.come_and_go(at_once, rng)
    crowd.left, crowd.ended, crowd.slowest = 0, 0, 0.0
    process = psutil.Process()
    tracemalloc.start()
    try:
        for _ in range(4):  # what tracemalloc does not know of must have gone before
            await crowd.come_and_go(at_once, rng)
        crowd.left = crowd.ended = 0
        forget()
        python, whole = _python(), _whole(process)
        for _ in range(times // at_once):
            await crowd.come_and_go(at_once, rng)
        forget()
        python, whole = _python() - python, _whole(process) - whole
    finally:
        tracemalloc.stop()
    return Report(crowd.left, crowd.ended, crowd.slowest, python * 1000 / times, whole * 1000 / times)


class _Crowd:
    def __init__(
        self, provider: Provider, spec: generation.GenerationSpec, gone: Callable[[], bool], longest: float
    ) -> None:
        self._provider = provider
        self._spec = spec
        self._gone = gone
        self._longest = longest
        self.left = 0
        self.ended = 0
        self.slowest = 0.0

    async def come_and_go(self, size: int, rng: random.Random) -> None:
        """Some callers, all gone at the end, and everything that was held for them within a second."""
        tasks = [
            asyncio.create_task(self._caller(rng.uniform(0, self._longest), closes=rng.random() < 0.5))
            for _ in range(size)
        ]
        await asyncio.gather(*tasks)
        begun = time.monotonic()
        async with asyncio.timeout(1):
            while self._provider.load().running or not self._gone():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.002)
        self.slowest = max(self.slowest, time.monotonic() - begun)

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
            self.ended += 1
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


def _python() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _whole(process: psutil.Process) -> int:
    with contextlib.suppress(AttributeError, OSError):  # only glibc has it: what is free need not be given back
        ctypes.CDLL(None).malloc_trim(0)
    return int(process.memory_info().rss)
