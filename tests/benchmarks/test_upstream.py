"""That the fake OpenAI server is one for OpenAI's own client, and lets go of what nobody reads."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import openai
import pytest

from benchmarks.upstream import Connection, Server, split

_ASKED = {"model": "bench", "messages": [{"role": "user", "content": "one two"}]}


@contextlib.asynccontextmanager
async def _upstream() -> AsyncIterator[tuple[Server, int]]:
    server = Server(0.001)
    listening = await asyncio.get_running_loop().create_server(lambda: Connection(server), "127.0.0.1", 0)
    async with listening:
        yield server, listening.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def _client() -> AsyncIterator[tuple[Server, openai.AsyncOpenAI]]:
    async with (
        _upstream() as (server, port),
        openai.AsyncOpenAI(api_key="none", base_url=f"http://127.0.0.1:{port}/v1", max_retries=0) as client,
    ):
        yield server, client


async def test_openai_s_client_takes_a_whole_answer() -> None:
    async with _client() as (_, client):
        done = await client.chat.completions.create(**_ASKED, max_tokens=3)
        assert (done.choices[0].message.content, done.choices[0].finish_reason) == (" seven seven seven", "stop")
        assert done.usage is not None
        assert done.usage.completion_tokens == 3
        assert [one.id async for one in client.models.list()] == ["bench"]


@pytest.mark.parametrize("usage", [True, False])
async def test_openai_s_client_takes_streams_one_after_the_other(usage: bool) -> None:
    async with _client() as (server, client):
        for _ in range(2):
            stream = await client.chat.completions.create(
                **_ASKED, max_completion_tokens=4, stream=True, stream_options={"include_usage": usage}
            )
            chunks = [one async for one in stream]
            texts = [one.choices[0].delta.content for one in chunks if one.choices]
            assert texts == ["", *[" seven"] * 4, None]
            assert [one.usage.completion_tokens for one in chunks if one.usage] == [4] * usage
        assert server.report() == {"streams": 0, "tokens": 8, "replies": 0}


async def test_a_stream_that_nobody_reads_any_more_is_stopped() -> None:
    async with _client() as (server, client):
        stream = await client.chat.completions.create(**_ASKED, max_tokens=1_000_000, stream=True)
        await anext(stream)
        assert server.report()["streams"] == 1
        await stream.close()
        async with asyncio.timeout(30):
            while server.report()["streams"]:  # noqa: ASYNC110 - nothing tells us
                await asyncio.sleep(0.001)


async def test_a_stream_of_one_token_waits_for_no_step() -> None:
    async with _client() as (server, client):
        slow = {"role": "user", "content": "every 3600000 ms: one two"}
        stream = await client.chat.completions.create(model="bench", messages=[slow], max_tokens=1, stream=True)
        assert [one.choices[0].delta.content async for one in stream] == ["", " seven", None]
        assert server.report() == {"streams": 0, "tokens": 1, "replies": 0}


async def test_a_prompt_may_say_its_own_pace() -> None:
    async with _client() as (server, client):
        slow = {"role": "user", "content": "every 3600000 ms: one two"}
        stream = await client.chat.completions.create(model="bench", messages=[slow], max_tokens=2, stream=True)
        assert (await anext(stream)).choices[0].delta.role == "assistant"
        assert (await anext(stream)).choices[0].delta.content == " seven"
        assert server.report() == {"streams": 1, "tokens": 1, "replies": 0}
        await stream.close()


async def test_what_is_no_completion_is_refused() -> None:
    async with _client() as (_, client):
        with pytest.raises(openai.BadRequestError):
            await client.post("/chat/completions", content=b"[", cast_to=object)
        with pytest.raises(openai.NotFoundError):
            await client.get("/nothing", cast_to=object)


@pytest.mark.parametrize(
    "framed",
    [
        b"Content-Length: 11\r\n\r\nhello world",
        b"Transfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5;x\r\nworld\r\n0\r\n\r\n",
    ],
)
def test_a_request_is_taken_when_it_is_whole(framed: bytes) -> None:
    wire = b"POST / HTTP/1.1\r\nhost: x\r\n" + framed
    for cut in range(len(wire)):
        assert split(wire[:cut]) is None
    found = split(wire + b"GET")
    assert found is not None
    assert found[1:] == (b"hello world", b"GET")
