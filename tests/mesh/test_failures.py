"""What happens to clients when processes die."""

import asyncio
import functools
from collections.abc import AsyncIterator, Iterator

import openai
import pytest

from tests.mesh.driver import Mesh, mesh, until
from tests.mesh.scrape import total

pytestmark = [pytest.mark.slow, pytest.mark.edge]

ONE_WORKER = """
gateway: {drain_seconds: 6}
providers:
  echo: {kind: echo, workers: 1, capacity: 8, token_ms: 10, loading_ms: 1000, drain_seconds: 2}
models:
  - name: echo
    routes: [{provider: echo}]
"""
TOKENS = 200
MESSAGES = [{"role": "user", "content": "word"}]


@pytest.fixture
def single() -> Iterator[Mesh]:
    """A mesh of one echo worker that takes a second to load, and has eight places."""
    with mesh(ONE_WORKER) as running:
        yield running


@pytest.fixture
async def client(single: Mesh) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official SDK at that mesh."""
    async with single.async_client() as client:
        yield client


async def streamed(
    client: openai.AsyncOpenAI, started: asyncio.Event | None = None, tokens: int = TOKENS, **echo: float
) -> int:
    """Read a stream to its end; the number of words. An error of any kind is raised."""
    words, reason = 0, None
    stream = await client.chat.completions.create(
        model="echo", messages=MESSAGES, stream=True, extra_body={"echo": {"tokens": tokens, **echo}}
    )
    async for chunk in stream:
        for choice in chunk.choices:
            words += bool(choice.delta.content)
            reason = choice.finish_reason or reason
        if started is not None:
            started.set()
    assert reason == "stop", f"the stream ended without a finish reason after {words} words"
    return words


async def test_a_killed_worker_cuts_no_answer_short_in_silence(single: Mesh, client: openai.AsyncOpenAI) -> None:
    started = [asyncio.Event() for _ in range(8)]
    running = [asyncio.create_task(streamed(client, event, tokens=1000)) for event in started]
    await asyncio.gather(*(event.wait() for event in started))
    single.kill("echo-0")
    results = await asyncio.gather(*running, return_exceptions=True)
    # Whole or an error the SDK raises; never a shorter answer that passes for whole.
    assert all(isinstance(result, openai.APIError) for result in results), results

    with pytest.raises(openai.InternalServerError) as refused:
        await streamed(client)
    assert refused.value.status_code == 503
    assert int(refused.value.response.headers["retry-after"]) >= 1
    body = refused.value.response.json()["error"]
    assert set(body) == {"message", "type", "param", "code"}
    assert body["code"] == "service_unavailable"

    refusals: list[openai.InternalServerError] = []

    async def answers() -> bool:
        try:
            return await streamed(client, tokens=3) == 3
        except openai.InternalServerError as error:
            refusals.append(error)
            return False

    took = await until(answers, seconds=60)
    print(f"answers again {took:.2f} s after the kill")
    assert all(error.status_code == 503 and "retry-after" in error.response.headers for error in refusals)


async def test_a_killed_router_is_not_noticed(single: Mesh, client: openai.AsyncOpenAI) -> None:
    # With places left: without a router nobody waits for one.
    started = [asyncio.Event() for _ in range(6)]
    running = [asyncio.create_task(streamed(client, event)) for event in started]
    await asyncio.gather(*(event.wait() for event in started))
    before = single.pid("router")
    single.kill("router")
    # At once, while there is no router, and on until there is one again.
    while any(not task.done() for task in running):
        assert await streamed(client, tokens=5) == 5
    assert await asyncio.gather(*running) == [TOKENS] * 6
    await until(lambda: single.status() and single.pid("router") != before, seconds=30)
    assert await streamed(client, tokens=5) == 5


async def test_a_killed_gateway_cuts_connections_and_comes_back(single: Mesh, client: openai.AsyncOpenAI) -> None:
    started = asyncio.Event()
    running = asyncio.create_task(streamed(client, started, tokens=1000))
    await started.wait()
    single.kill("gateway")
    with pytest.raises(openai.APIError):
        await running

    async def answers() -> bool:
        try:
            return await streamed(client, tokens=3) == 3
        except openai.APIError:
            return False

    await until(answers, seconds=60)
    # What ran for the dead gateway has been cancelled at the worker.
    await until(lambda: sum(worker["running"] for worker in single.status()["workers"]) == 0, seconds=30)


async def test_a_client_that_leaves_frees_its_place_within_a_second(single: Mesh, client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="echo", messages=MESSAGES, stream=True, extra_body={"echo": {"tokens": 100_000}}
    )
    await anext(aiter(stream))
    running = functools.partial(total, single, "echo-0", "hybrid_worker_attempts_running")
    await until(lambda: running() == 1, seconds=30)
    await stream.close()
    await until(lambda: running() == 0, seconds=1)
    await until(lambda: single.status()["workers"][0]["running"] == 0, seconds=30)


async def test_a_gateway_that_stops_cuts_no_answer_short_in_silence(single: Mesh, client: openai.AsyncOpenAI) -> None:
    started = asyncio.Event()
    whole = asyncio.create_task(streamed(client, started, tokens=400))
    await started.wait()
    # One more than has a place once that answer is whole: it waits for one till the end.
    # They are slow, so that what they are told at the end stands behind nothing that we have not read yet.
    running = [asyncio.create_task(streamed(client, tokens=100_000, token_ms=100)) for _ in range(9)]
    await until(lambda: total(single, "router", "hybrid_router_waiting") == 2, seconds=30)
    single.terminate("gateway")
    assert await whole == 400
    for one in running:
        with pytest.raises(openai.APIError, match="gateway stops"):
            await one
