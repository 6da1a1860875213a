"""What a real Envoy does with clients that take their time, and that ask for more than is allowed."""

import asyncio
import contextlib
import time

import grpc
import httpx2
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.edge.conftest import running_edge, serving

pytestmark = [pytest.mark.edge, pytest.mark.asyncio(loop_scope="module")]

REQUEST_SECONDS = 1.0
LIMITS = {
    "request_bytes": 4000,
    "typed_request_bytes": 2000,
    "headers_kib": 8,
    "connections": 8,
    "header_seconds": 0.5,
    "request_seconds": REQUEST_SECONDS,
    "idle_seconds": 0.5,
}
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: edge\r\ncontent-type: application/json\r\n"
ASK = [{"role": "user", "content": "x"}]
GENERATE = "/hybridinference.gateway.v1.InferenceService/Generate"


@pytest.fixture(scope="module")
def sections():
    return {"edge": {"limits": LIMITS}}


@contextlib.asynccontextmanager
async def connected(envoy):
    reader, writer = await asyncio.open_connection("127.0.0.1", envoy.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def ended(reader, begun):
    """What comes until the edge closes the connection, and how many seconds after `begun` that is."""
    answer = b""
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionResetError):  # what a client still sends then is not read
            while piece := await reader.read(65536):
                answer += piece
    return answer, time.monotonic() - begun


async def test_headers_that_do_not_come_are_not_waited_for(envoy):
    async with connected(envoy) as (reader, writer):
        begun = time.monotonic()
        writer.write(HEAD)
        answer, seconds = await ended(reader, begun)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert LIMITS["header_seconds"] * 0.9 <= seconds < 5


async def test_a_body_that_comes_byte_by_byte_is_not_waited_for(envoy, gateway):
    async def drip(writer):
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.1)

    async with connected(envoy) as (reader, writer):
        begun = time.monotonic()
        writer.write(HEAD + b"content-length: 1000\r\n\r\n")
        dripping = asyncio.create_task(drip(writer))
        answer, seconds = await ended(reader, begun)
        dripping.cancel()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in answer
    assert b'"type":"timeout_error"' in answer
    assert REQUEST_SECONDS * 0.9 <= seconds < 5
    assert gateway.script.begun.empty()


async def test_a_grpc_message_that_does_not_come_is_not_waited_for(envoy):
    async def never():
        await asyncio.sleep(60)
        yield b""

    async with grpc.aio.insecure_channel(f"127.0.0.1:{envoy.port}") as channel:
        begun = time.monotonic()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.stream_unary(GENERATE)(never(), timeout=10)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "{" not in caught.value.details()
    assert REQUEST_SECONDS * 0.9 <= time.monotonic() - begun < 5


async def test_calls_in_both_directions_and_watches_are_not_cut(envoy):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{envoy.port}") as channel:
        reflecting = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
        for pause in (REQUEST_SECONDS * 1.5, 0):
            await reflecting.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            assert (await reflecting.read()).list_services_response.service
            await asyncio.sleep(pause)
        assert not watching.done()
        watching.cancel()
        await reflecting.done_writing()
        assert await reflecting.code() is grpc.StatusCode.OK


async def test_an_answer_may_take_longer_than_a_request(gateway, sdk):
    gateway.script.allowed.put_nowait("Pa")
    stream = aiter(await sdk.chat.completions.create(model="stream", messages=ASK, stream=True))
    await anext(stream)
    await asyncio.sleep(REQUEST_SECONDS * 1.5)
    for text in ("ris", ""):
        gateway.script.allowed.put_nowait(text)
    assert [chunk.choices[0].delta.content async for chunk in stream] == ["ris", None]


async def test_a_connection_without_requests_is_closed(envoy):
    async with connected(envoy) as (reader, writer):
        writer.write(b"GET /v1/models HTTP/1.1\r\nhost: edge\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        begun = time.monotonic()
        _, seconds = await ended(reader, begun)
    # One second of telling so, for which HTTP/1 has no words, and one until the connection is closed come on top.
    assert LIMITS["idle_seconds"] * 0.9 <= seconds < 10


async def test_more_connections_than_allowed_are_closed_at_once_and_room_is_given_back(envoy):
    async def answered():
        async with connected(envoy) as (reader, writer):
            writer.write(b"GET /healthz HTTP/1.1\r\nhost: edge\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                return (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        return False

    async def becomes(expected):
        async with asyncio.timeout(30):
            while await answered() is not expected:  # noqa: ASYNC110  # what is waited for happens in another process
                await asyncio.sleep(0.02)

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(LIMITS["connections"]):
            await stack.enter_async_context(connected(envoy))
        await becomes(False)
    await becomes(True)


@pytest.mark.parametrize(
    ("path", "size", "status", "code"),
    [
        ("/v1/chat/completions", LIMITS["request_bytes"] - 200, 200, None),
        ("/v1/chat/completions", LIMITS["request_bytes"] + 200, 413, "request_too_large"),
        ("/api/v1/generate", LIMITS["typed_request_bytes"] - 200, 200, None),
        ("/api/v1/generate", LIMITS["typed_request_bytes"] + 200, 413, "REQUEST_TOO_LARGE"),
    ],
)
async def test_each_face_has_a_size_of_its_own(http, path, size, status, code):
    body = {"model": "size", "x": "y" * size} if code or "/v1/chat" in path else {"spec": {"model": "y" * size}}
    reply = await http.post(path, json=body)
    assert reply.status_code == status
    assert code is None or code in reply.text


async def test_headers_over_the_limit_are_refused(envoy, http):
    reply = await http.get("/v1/models", headers={"x-large": "x" * 9_000})
    assert (reply.status_code, reply.json()["error"]["code"]) == (431, "headers_too_large")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{envoy.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(GENERATE)(b"", metadata=(("x-large", "x" * 9_000),), timeout=5)
    # On HTTP/2 Envoy resets the stream.
    assert caught.value.code() is grpc.StatusCode.INTERNAL


async def test_more_requests_than_allowed_are_told_when_to_come_back():
    # So few that a slow machine asks for more.
    with running_edge(edge={"limits": {"requests_per_second": 2}}) as running:
        async with serving(running) as (envoy, _), httpx2.AsyncClient(base_url=envoy.url, timeout=10) as http:
            await more_are_told_when_to_come_back(envoy, http)


async def more_are_told_when_to_come_back(envoy, http):
    async def until_limited(ask):
        async with asyncio.timeout(30):
            while True:
                for answer in await asyncio.gather(*(ask() for _ in range(4))):
                    if answer is not None:
                        return answer

    async def json_call():
        reply = await http.get("/v1/models")
        return reply if reply.status_code != 200 else None

    async def grpc_call():
        try:
            await channel.unary_unary(GENERATE)(b"", timeout=5)
        except grpc.aio.AioRpcError as error:
            return error

    limited = await until_limited(json_call)
    assert (limited.status_code, limited.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(limited.headers["retry-after"]) >= 1
    async with grpc.aio.insecure_channel(f"127.0.0.1:{envoy.port}") as channel:
        assert (await until_limited(grpc_call)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
