"""How late an event loop is, as its process tells."""

import asyncio
import time

from prometheus_client import CollectorRegistry

from services.chassis.loop_lag import measured_lag
from tests.fakes import eventually

_BLOCKED_SECONDS = 1.4


async def test_what_blocks_the_loop_is_seen() -> None:
    registry = CollectorRegistry()

    def lag(what: str) -> float:
        return registry.get_sample_value(f"hybrid_event_loop_lag_seconds_{what}") or 0.0

    async with measured_lag(registry):
        await asyncio.sleep(0)  # it has begun to wait
        time.sleep(_BLOCKED_SECONDS)  # noqa: ASYNC251  # to block is the point
        await eventually(lambda: lag("count") > 0, seconds=30)
        # Up to a second of it, or a little more, was planned.
        assert lag("sum") >= _BLOCKED_SECONDS - 1.15
    seen = lag("count")
    await asyncio.sleep(0)
    assert lag("count") == seen
