"""What needs no key is bounded for all callers together."""

import pathlib
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import CollectorRegistry

from services.chassis.channel import open_channel
from services.chassis.server import open_server
from services.gateway.identity.interceptor import IdentityInterceptor
from services.gateway.identity.public import PublicStreams
from tests.fakes import eventually

SECONDS = 30.0


async def test_strangers_open_so_many_streams_and_no_more(directory: pathlib.Path) -> None:
    registry, address = CollectorRegistry(), f"unix:{directory}/g.sock"
    public = PublicStreams(2)
    identity = IdentityInterceptor(None, registry, public=public)
    async with (
        open_server(address, lambda _: None, [], registry, interceptors=[identity]) as up,
        open_channel(address) as channel,
    ):
        await up.mark_serving()
        health: Any = health_pb2_grpc.HealthStub(channel)
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")

        async def reflected() -> grpc.aio.StreamStreamCall[Any, Any]:
            call = reflection.ServerReflectionInfo(timeout=SECONDS)
            await call.write(asked)
            return call

        for _ in range(3):  # what has ended leaves its place to others
            watch, described = health.Watch(health_pb2.HealthCheckRequest(), timeout=SECONDS), await reflected()
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            assert (await described.read()).HasField("list_services_response")
            # Nothing is written to it: a client of grpc.aio that sends while it is refused calls that INTERNAL.
            unwritten = reflection.ServerReflectionInfo(timeout=SECONDS)
            for refused in (health.Watch(health_pb2.HealthCheckRequest(), timeout=SECONDS), unwritten):
                assert await refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            checked = await health.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
            assert checked.status == health_pb2.HealthCheckResponse.SERVING
            await described.done_writing()
            assert await described.code() is grpc.StatusCode.OK
            watch.cancel()
            again = await reflected()
            assert (await again.read()).HasField("list_services_response")
            await again.done_writing()
            assert await again.code() is grpc.StatusCode.OK
            await eventually(lambda: public.left == 2, seconds=SECONDS)  # the server hears of a cancellation later
