"""What surrounds every call, over real calls of all four kinds."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis import status
from services.chassis.failure import Failure
from tests.fakes import eventually

_PROMPT = b"a prompt that nobody may log"
_FULL = Failure(reasons.ERROR_REASON_FLEET_SATURATED, "Come back later.", retry_after=2.0, model="m")


@pytest.fixture
def logged() -> Iterator[list[dict[str, Any]]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


async def _taken(request: Any) -> None:
    """Take all that the client says: grpc.aio's client may report a call that ends before that as INTERNAL."""
    if not isinstance(request, bytes):
        assert [message async for message in request] == [_PROMPT]


async def _single(request: Any, context: Any, end: Exception | None) -> bytes:
    await _taken(request)
    if end is not None:
        raise end
    return _PROMPT


async def _generated(request: Any, context: Any, end: Exception | None) -> AsyncIterator[bytes]:
    await _taken(request)
    yield _PROMPT
    if end is not None:
        raise end


async def _written(request: Any, context: Any, end: Exception | None) -> None:
    await _taken(request)
    await context.write(_PROMPT)
    if end is not None:
        raise end


def _handlers(end: Exception | None) -> dict[str, Any]:
    return {
        "UnaryUnary": grpc.unary_unary_rpc_method_handler(lambda r, c: _single(r, c, end)),
        "StreamUnary": grpc.stream_unary_rpc_method_handler(lambda r, c: _single(r, c, end)),
        "UnaryStreamGenerated": grpc.unary_stream_rpc_method_handler(lambda r, c: _generated(r, c, end)),
        "UnaryStreamWritten": grpc.unary_stream_rpc_method_handler(lambda r, c: _written(r, c, end)),
        "StreamStreamGenerated": grpc.stream_stream_rpc_method_handler(lambda r, c: _generated(r, c, end)),
        "StreamStreamWritten": grpc.stream_stream_rpc_method_handler(lambda r, c: _written(r, c, end)),
    }


async def _call(channel: grpc.aio.Channel, method: str) -> list[bytes]:
    path = f"/test.Test/{method}"

    async def requests() -> AsyncIterator[bytes]:
        yield _PROMPT

    if method == "UnaryUnary":
        return [await channel.unary_unary(path)(_PROMPT)]
    if method == "StreamUnary":
        return [await channel.stream_unary(path)(requests())]
    if method.startswith("UnaryStream"):
        return [message async for message in channel.unary_stream(path)(_PROMPT)]
    return [message async for message in channel.stream_stream(path)(requests())]


_METHODS = list(_handlers(None))
_TYPES = {
    "UnaryUnary": "unary",
    "StreamUnary": "client_stream",
    "UnaryStream": "server_stream",
    "StreamStream": "bidi_stream",
}


@pytest.mark.parametrize("method", _METHODS)
async def test_an_answer_passes_through_and_is_counted(serve: Any, method: str, logged: list[dict[str, Any]]) -> None:
    async with serve(_handlers(None)) as served:
        assert await _call(served.channel, method) == [_PROMPT]
    assert served.handled(method, "OK") == 1
    kind = re.match("(Unary|Stream)(Unary|Stream)", method)
    labels = {"grpc_type": _TYPES[kind[0] if kind else ""], "grpc_service": "test.Test", "grpc_method": method}
    assert served.registry.get_sample_value("grpc_server_started_total", labels) == 1
    assert served.registry.get_sample_value("grpc_server_handling_seconds_count", labels) == 1
    (line,) = [line for line in logged if line["event"] == "rpc.finished"]
    assert (line["method"], line["code"]) == (f"/test.Test/{method}", "OK")
    assert _PROMPT.decode() not in repr(logged)


@pytest.mark.parametrize("method", _METHODS)
async def test_a_failure_becomes_a_status_with_details(serve: Any, method: str, logged: list[dict[str, Any]]) -> None:
    async with serve(_handlers(_FULL)) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _call(served.channel, method)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    received = status.from_rpc_error(caught.value)
    assert (received.reason, received.message, received.retry_after, received.metadata) == (
        reasons.ERROR_REASON_FLEET_SATURATED,
        "Come back later.",
        2.0,
        {"model": "m"},
    )
    assert served.handled(method, "ResourceExhausted") == 1
    (line,) = [line for line in logged if line["event"] == "rpc.finished"]
    assert line["reason"] == "FLEET_SATURATED"
    assert _PROMPT.decode() not in repr(logged)


@pytest.mark.parametrize("method", _METHODS)
async def test_a_crash_is_internal_without_detail_and_logged_with_its_traceback(
    serve: Any, method: str, logged: list[dict[str, Any]]
) -> None:
    async with serve(_handlers(KeyError("a detail of ours"))) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _call(served.channel, method)
    received = status.from_rpc_error(caught.value)
    assert received.reason == reasons.ERROR_REASON_INTERNAL
    assert "a detail of ours" not in repr(caught.value)
    assert "KeyError" not in repr(caught.value)
    assert served.handled(method, "Internal") == 1
    (line,) = [line for line in logged if line["event"] == "rpc.crashed"]
    assert line["error"] == "KeyError"
    assert line["exc_info"].__traceback__ is not None


@pytest.mark.parametrize("method", _METHODS)
async def test_an_abort_of_the_handlers_own_is_counted_under_its_code(serve: Any, method: str) -> None:
    async def single(request: Any, context: Any) -> bytes:
        await _taken(request)
        await context.abort(grpc.StatusCode.NOT_FOUND, "gone")
        return b""

    async def streaming(request: Any, context: Any) -> None:
        await _taken(request)
        await context.abort(grpc.StatusCode.NOT_FOUND, "gone")

    async def generated(request: Any, context: Any) -> AsyncIterator[bytes]:
        await _taken(request)
        await context.abort(grpc.StatusCode.NOT_FOUND, "gone")
        yield b""

    handlers = {
        "UnaryUnary": grpc.unary_unary_rpc_method_handler(single),
        "StreamUnary": grpc.stream_unary_rpc_method_handler(single),
        "UnaryStreamGenerated": grpc.unary_stream_rpc_method_handler(generated),
        "UnaryStreamWritten": grpc.unary_stream_rpc_method_handler(streaming),
        "StreamStreamGenerated": grpc.stream_stream_rpc_method_handler(generated),
        "StreamStreamWritten": grpc.stream_stream_rpc_method_handler(streaming),
    }
    async with serve(handlers) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _call(served.channel, method)
        assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.NOT_FOUND, "gone")
        # The caller may have its answer before the handler, which waits until it has left, goes on and is counted.
        await eventually(lambda: served.handled(method, "NotFound") == 1, seconds=30)
    assert served.handled(method, "NotFound") == 1
    assert served.handled(method, "Cancelled") == 0


async def test_a_code_that_the_handler_only_sets_is_counted(serve: Any) -> None:
    async def sets(request: Any, context: Any) -> bytes:
        context.set_code(grpc.StatusCode.FAILED_PRECONDITION)
        return b""

    async with serve({"UnaryUnary": grpc.unary_unary_rpc_method_handler(sets)}) as served:
        with pytest.raises(grpc.aio.AioRpcError):
            await _call(served.channel, "UnaryUnary")
    assert served.handled("UnaryUnary", "FailedPrecondition") == 1


@pytest.mark.parametrize("flavour", ["generated", "written"])
async def test_a_cancellation_reaches_the_handler_and_is_counted(
    serve: Any, flavour: str, logged: list[dict[str, Any]]
) -> None:
    cancelled = asyncio.Event()

    async def generated(request: Any, context: Any) -> AsyncIterator[bytes]:
        try:
            yield b"begun"
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    async def written(request: Any, context: Any) -> None:
        try:
            await context.write(b"begun")
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    handler = generated if flavour == "generated" else written
    async with serve({"Watch": grpc.unary_stream_rpc_method_handler(handler)}) as served:
        call = served.channel.unary_stream("/test.Test/Watch")(b"")
        assert await call.read() == b"begun"
        call.cancel()
        await eventually(cancelled.is_set, seconds=1)
    assert served.handled("Watch", "Cancelled") == 1
    assert not [line for line in logged if line["event"] == "rpc.crashed"]


async def test_a_client_that_leaves_in_the_middle_of_a_flood_is_no_crash(
    serve: Any, logged: list[dict[str, Any]]
) -> None:
    ended = asyncio.Event()

    async def floods(request: Any, context: Any) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
        finally:
            ended.set()

    async with serve({"Flood": grpc.unary_stream_rpc_method_handler(floods)}) as served:
        for count in range(20):
            ended.clear()
            call = served.channel.unary_stream("/test.Test/Flood")(b"")
            for _ in range(count):
                await call.read()
            call.cancel()
            if count:
                await eventually(ended.is_set, seconds=1)
    assert [line["event"] for line in logged if line["log_level"] == "error"] == []


async def test_a_method_that_nobody_offers_is_unimplemented(serve: Any) -> None:
    async with serve(_handlers(None)) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.channel.unary_unary("/test.Test/Nothing")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert status.from_rpc_error(caught.value).reason == reasons.ERROR_REASON_UNIMPLEMENTED


async def test_health_can_be_watched_and_is_quiet_in_the_log(serve: Any, logged: list[dict[str, Any]]) -> None:
    async with serve({}) as served:
        stub = health_pb2_grpc.HealthStub(served.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service="test.Test"))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        await served.server.mark_serving()
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(health_pb2.HealthCheckRequest(service="unknown"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        watch.cancel()
    assert [line for line in logged if line["event"] == "rpc.finished" and line["log_level"] != "debug"] == []


@pytest.mark.parametrize("method", ["UnaryUnary", "UnaryStreamWritten"])
@pytest.mark.parametrize("data", [b"\x0a\x05ab", b"\x0a\x01\xff", b"\x0b" * 200], ids=["cut", "no UTF-8", "deep"])
async def test_a_request_that_cannot_be_read_is_the_callers_mistake(
    serve: Any, logged: list[dict[str, Any]], method: str, data: bytes
) -> None:
    kind = grpc.unary_unary_rpc_method_handler if method == "UnaryUnary" else grpc.unary_stream_rpc_method_handler
    handler = kind(_single, request_deserializer=health_pb2.HealthCheckRequest.FromString)
    async with serve({method: handler}) as served:
        path, channel = f"/test.Test/{method}", served.channel
        answer = channel.unary_unary(path)(data) if method == "UnaryUnary" else channel.unary_stream(path)(data).read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await answer
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert status.from_rpc_error(caught.value).reason_name == "SPEC_INVALID"
        assert served.handled(method, "InvalidArgument") == 1
    assert [line["event"] for line in logged if line["log_level"] == "error"] == []
