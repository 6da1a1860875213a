"""The server: health, reflection, drain, its address."""

import asyncio
import pathlib
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import CollectorRegistry

from services.chassis.interceptors import CallInterceptor, RpcMetrics
from services.chassis.server import open_server
from tests.fakes import eventually
from tests.loop_clock import loop_clock


def _path(address: str) -> pathlib.Path:
    return pathlib.Path(address.removeprefix("unix:"))


async def _health(channel: grpc.aio.Channel, service: str) -> int:
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    return int(answer.status)


async def _until_refused(channel: grpc.aio.Channel) -> None:
    """Call until a call is refused; one that meets the stop half-way may be cancelled or left unanswered by gRPC."""
    check = health_pb2_grpc.HealthStub(channel).Check
    async with asyncio.timeout(30):
        while True:
            try:
                await check(health_pb2.HealthCheckRequest(), timeout=0.2)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    return


class _Streams:
    """A stream that says one word, then waits for permission to end."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            yield b"begun"
            await self.may_end.wait()
            yield b"ended"
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


@pytest.mark.parametrize("service", ["", "test.Test"])
async def test_health_says_not_serving_until_told_otherwise(serve: Any, service: str) -> None:
    async with serve({}) as served:
        assert await _health(served.channel, service) == health_pb2.HealthCheckResponse.NOT_SERVING
        await served.server.mark_serving()
        assert await _health(served.channel, service) == health_pb2.HealthCheckResponse.SERVING
        await served.server.mark_serving(False)
        assert await _health(served.channel, service) == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_one_task_waits_for_the_calls_of_all_methods(serve: Any) -> None:
    async with serve({}) as served:
        await _health(served.channel, "")
        waiting = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
    assert sum(name.startswith("AioServer._request_") for name in waiting) == 1


async def test_reflection_lists_the_services(serve: Any) -> None:
    async with serve({}) as served:
        call = reflection_pb2_grpc.ServerReflectionStub(served.channel).ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        answer = await call.read()
        call.cancel()
    names = {service.name for service in answer.list_services_response.service}
    assert names == {"test.Test", "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


async def test_who_retires_still_takes_calls_until_those_who_check_have_heard_it(serve: Any) -> None:
    async def echo(request: bytes, context: Any) -> bytes:
        return request

    async with serve({"Echo": grpc.unary_unary_rpc_method_handler(echo)}) as served:
        await served.server.mark_serving()
        assert await _health(served.channel, "") == health_pb2.HealthCheckResponse.SERVING
        retiring = asyncio.create_task(served.server.retire(seconds=60))
        for _ in range(2):
            assert await _health(served.channel, "") == health_pb2.HealthCheckResponse.NOT_SERVING
            assert await served.channel.unary_unary("/test.Test/Echo")(b"x") == b"x"
        await eventually(retiring.done, seconds=5)
        await retiring


async def test_who_retires_waits_no_longer_than_it_may_for_those_who_do_not_ask_again(serve: Any) -> None:
    async with serve({}) as served, loop_clock() as clock:
        await _health(served.channel, "")
        begun, earlier = asyncio.get_running_loop().time(), clock()
        await served.server.retire(seconds=0.3)
        assert asyncio.get_running_loop().time() - begun >= 0.25
        assert clock() - earlier < 2


async def test_a_drain_lets_a_running_stream_finish_and_refuses_new_calls(serve: Any) -> None:
    streams = _Streams()
    async with serve({"Stream": grpc.unary_stream_rpc_method_handler(streams)}) as served:
        call = served.channel.unary_stream("/test.Test/Stream")(b"")
        assert await call.read() == b"begun"
        draining = asyncio.create_task(served.server.drain(seconds=60))
        await _until_refused(served.channel)
        assert not draining.done()
        streams.may_end.set()
        assert await call.read() == b"ended"
        assert await call.code() is grpc.StatusCode.OK
        await eventually(draining.done, seconds=2)
        await draining


async def test_a_drain_cancels_at_its_bound_what_has_not_finished(serve: Any) -> None:
    streams = _Streams()
    async with serve({"Stream": grpc.unary_stream_rpc_method_handler(streams)}) as served, loop_clock() as clock:
        call = served.channel.unary_stream("/test.Test/Stream")(b"")
        assert await call.read() == b"begun"
        begun, earlier = asyncio.get_running_loop().time(), clock()
        await served.server.drain(seconds=0.3)
        assert asyncio.get_running_loop().time() - begun >= 0.25
        assert clock() - earlier < 2
        assert streams.cancelled.is_set()
        with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
            await call.read()
        assert await call.code() is not grpc.StatusCode.OK


async def test_calls_are_under_way_until_their_last_words_have_left() -> None:
    class Told:
        def __init__(self) -> None:
            self.left: list[Any] = []

        def add_done_callback(self, callback: Any) -> None:
            self.left.append(callback)

        def code(self) -> None:
            return None

    async def echo(request: bytes, context: Any) -> bytes:
        return request

    async def found(details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(echo)

    calls: Any = CallInterceptor(RpcMetrics(CollectorRegistry()))
    details = SimpleNamespace(method="/test.Test/Echo", invocation_metadata=())
    handler, context = await calls.intercept_service(found, details), Told()
    assert await handler.unary_unary(b"x", context) == b"x"
    resting = asyncio.create_task(calls.rest())
    await asyncio.sleep(0)
    assert not resting.done(), "the handler has returned, but nobody has heard it yet"
    context.left[0](context)
    await asyncio.wait_for(resting, 30)


async def test_a_drain_waits_for_no_endless_call(serve: Any) -> None:
    watched = _Streams()
    handlers = {"Watch": grpc.unary_stream_rpc_method_handler(watched)}
    async with serve(handlers, endless=["/test.Test/Watch"]) as served:
        call = served.channel.unary_stream("/test.Test/Watch")(b"")
        assert await call.read() == b"begun"
        health = health_pb2_grpc.HealthStub(served.channel).Watch(health_pb2.HealthCheckRequest())
        await health.read()
        draining = asyncio.create_task(served.server.drain(seconds=60))
        await eventually(draining.done, seconds=2)
        await draining
        assert watched.cancelled.is_set()


async def test_health_watchers_hear_of_a_drain(serve: Any) -> None:
    streams = _Streams()
    async with serve({"Stream": grpc.unary_stream_rpc_method_handler(streams)}) as served:
        await served.server.mark_serving()
        call = served.channel.unary_stream("/test.Test/Stream")(b"")
        await call.read()
        health = health_pb2_grpc.HealthStub(served.channel).Watch(health_pb2.HealthCheckRequest())
        assert (await health.read()).status == health_pb2.HealthCheckResponse.SERVING
        draining = asyncio.create_task(served.server.drain(seconds=60))
        assert (await health.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        streams.may_end.set()
        await eventually(draining.done, seconds=2)
        await draining


async def test_the_socket_is_private_to_its_directory_and_removed_at_the_end(address: str) -> None:
    nested = f"unix:{_path(address).parent}/run/s.sock"
    async with open_server(nested, lambda server: None, [], CollectorRegistry()):
        assert _path(nested).is_socket()
        assert _path(nested).parent.stat().st_mode & 0o777 == 0o700
    assert not _path(nested).exists()


async def test_a_socket_left_over_by_a_crash_is_replaced(address: str) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(_path(address)))
    async with (
        open_server(address, lambda server: None, [], CollectorRegistry()),
        grpc.aio.insecure_channel(address, options=[("grpc.default_authority", "localhost")]) as channel,
    ):
        assert await _health(channel, "") == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_an_address_that_is_taken_is_refused_and_its_owner_undisturbed(serve: Any, address: str) -> None:
    async with serve({}) as served:
        with pytest.raises(OSError, match="another process serves on this address"):
            async with open_server(address, lambda server: None, [], CollectorRegistry()):
                pass
        assert _path(address).is_socket()
        async with grpc.aio.insecure_channel(address, options=[("grpc.default_authority", "localhost")]) as channel:
            assert await _health(channel, "") == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await _health(served.channel, "") == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_a_port_that_is_taken_is_refused() -> None:
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        address = f"127.0.0.1:{owner.getsockname()[1]}"
        with pytest.raises(RuntimeError, match=address):
            async with open_server(address, lambda server: None, [], CollectorRegistry()):
                pass
