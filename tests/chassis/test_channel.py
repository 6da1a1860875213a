"""Channels find a peer again."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from services.chassis.channel import open_channel
from services.chassis.server import open_server
from tests.loop_clock import loop_clock


async def test_a_peer_that_restarts_on_its_socket_is_found_again_within_a_moment(address: str) -> None:
    def serving() -> object:
        return open_server(address, lambda server: None, [], CollectorRegistry())

    async with open_channel(address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        async with serving():  # type: ignore[attr-defined]
            await check(health_pb2.HealthCheckRequest())
        failures = 0
        while failures < 5:  # each finds nobody, and the channel backs off
            try:
                await check(health_pb2.HealthCheckRequest(), timeout=0.2, wait_for_ready=failures > 2)
            except grpc.aio.AioRpcError:
                failures += 1
        async with serving(), loop_clock() as clock:  # type: ignore[attr-defined]
            await check(health_pb2.HealthCheckRequest(), timeout=30, wait_for_ready=True)
            assert clock() < 1.5
