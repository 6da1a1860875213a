"""More requests than places: they wait in the router, and none is told to come back."""

import asyncio
import re
from collections.abc import Iterator

import httpx2
import pytest

from tests.mesh.driver import Mesh, mesh, until
from tests.mesh.scrape import total

pytestmark = [pytest.mark.slow, pytest.mark.edge]

CONFIG = """
gateway: {drain_seconds: 2, keep_alive_seconds: 0.2, waiting_bytes: 100000}
providers:
  echo: {kind: echo, workers: 2, capacity: 2, token_ms: 1, drain_seconds: 2}
models:
  - name: echo
    routes: [{provider: echo}]
"""


@pytest.fixture(scope="module")
def full() -> Iterator[Mesh]:
    """Two workers with two places each."""
    with mesh(CONFIG) as running:
        yield running


def _chat(text: str = "a b", *, first_token_ms: int = 0, stream: bool = True) -> dict[str, object]:
    script = {"tokens": 3, "first_token_ms": first_token_ms}
    return {"model": "echo", "messages": [{"role": "user", "content": text}], "stream": stream, "echo": script}


async def test_four_times_as_many_as_there_is_room_for_are_all_served(full: Mesh) -> None:
    async with httpx2.AsyncClient(base_url=full.base_url, timeout=30) as client:
        asked = [_chat(first_token_ms=300, stream=stream) for stream in (True, False) for _ in range(8)]
        replies = await asyncio.gather(*(client.post("/chat/completions", json=body) for body in asked))
    assert {reply.status_code for reply in replies} == {200}
    assert all(reply.text.endswith("data: [DONE]\n\n") for reply in replies[:8])
    # A stream whose first comment goes out while it waits does not know yet for how long.
    assert max(float(reply.headers["x-hybrid-queue-ms"]) for reply in replies[8:]) >= 100


async def test_comments_keep_a_stream_alive_that_waits_and_the_rest_wait_within_bounds(full: Mesh) -> None:
    async with httpx2.AsyncClient(base_url=full.base_url, timeout=30) as client:
        busy = [
            asyncio.create_task(client.post("/chat/completions", json=_chat(first_token_ms=4000))) for _ in range(4)
        ]
        await until(lambda: total(full, "router", "hybrid_router_leases") == 4, seconds=30)
        waiting = asyncio.create_task(client.post("/chat/completions", json=_chat()))
        await until(lambda: total(full, "router", "hybrid_router_waiting") == 1, seconds=30)
        large = await client.post("/chat/completions", json=_chat("x" * 200_000, stream=False))
        assert (large.status_code, large.json()["error"]["code"]) == (429, "slow_down")
        reply = await waiting
        assert {one.status_code for one in await asyncio.gather(*busy)} == {200}
    assert re.match(r"(: keep-alive\n\n)+data: ", reply.text)
    await until(lambda: total(full, "router", "hybrid_router_waiting") == 0, seconds=30)
