"""How late the event loop is: what blocks it delays every call of the process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from prometheus_client import CollectorRegistry

from services.chassis import declared
from services.chassis.beat import until_beat

# Often enough to meet what blocks again and again, and seldom enough to be no work.
_PERIOD_SECONDS = 1.0

LAG = declared.Histogram(
    "hybrid_event_loop_lag_seconds",
    "How much later than planned the event loop came to a task, looked at once a second.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


@contextlib.asynccontextmanager
async def measured_lag(registry: CollectorRegistry) -> AsyncIterator[None]:
    """Measure the running loop's lag until the context ends."""
    histogram = LAG.on(registry)

    async def measure() -> None:
        loop = asyncio.get_running_loop()
        while True:
            left = until_beat(_PERIOD_SECONDS)
            planned = loop.time() + left
            await asyncio.sleep(left)
            histogram.observe(max(0.0, loop.time() - planned))

    measuring = asyncio.create_task(measure(), name="loop-lag")
    try:
        yield
    finally:
        measuring.cancel()
