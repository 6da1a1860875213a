"""Waiting until a process can do its work."""

import asyncio
import gc
import pathlib

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.cli import readiness
from tests.fakes import eventually


def grpc_objects() -> list[object]:
    """The channels and calls that there are, those of others included."""
    return [one for one in gc.get_objects() if issubclass(type(one), (grpc.aio.Channel, grpc.aio.Call))]


async def test_who_has_waited_for_a_process_keeps_nothing_of_grpc_alive(tmp_path: pathlib.Path) -> None:
    address = f"unix:{tmp_path}/a.sock"
    server, servicer = grpc.aio.server(), health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    await servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    server.add_insecure_port(address)
    await server.start()
    before = grpc_objects()
    gc.disable()
    try:
        waiting = asyncio.create_task(readiness.grpc_serving(address))
        done, _ = await asyncio.wait((waiting,), timeout=0.2)
        assert not done
        await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
        async with asyncio.timeout(30):
            await waiting
        # Who is being told that a call was cancelled has it for a moment.
        await eventually(
            lambda: not [one for one in grpc_objects() if not any(one is other for other in before)], seconds=30
        )
    finally:
        gc.enable()
        await server.stop(None)
