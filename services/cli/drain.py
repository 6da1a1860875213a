"""Taking Envoy out of service: no new connections, running requests may finish."""

import asyncio
import pathlib

from services.cli.admin import ask

_PAUSE_SECONDS = 0.1
_ACTIVE = "http.edge.downstream_rq_active"


async def drain_edge(admin: pathlib.Path, seconds: float) -> None:
    """Close the listeners, and wait until no request is under way, for up to `seconds`.

    Envoy neither waits nor exits by itself: asked to end, it cuts every stream at once.
    """
    try:
        async with asyncio.timeout(seconds):
            await ask(admin, "POST", "/healthcheck/fail")
            await ask(admin, "POST", "/drain_listeners")
            while active(await ask(admin, "GET", f"/stats?filter={_ACTIVE}")):  # noqa: ASYNC110  # Envoy tells only who asks
                await asyncio.sleep(_PAUSE_SECONDS)
    except (OSError, TimeoutError):
        return  # it is gone, or has had its time


def active(stats: str) -> int:
    """Requests under way, summed over the listeners that the answer names."""
    lines = (line.rpartition(": ") for line in stats.splitlines())
    return sum(int(value) for name, _, value in lines if name.endswith("downstream_rq_active") and value.isdigit())
