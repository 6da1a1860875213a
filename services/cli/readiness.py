"""Ways to wait until a process can do its work. None of them gives up by itself: the caller has the deadline."""

import asyncio
import pathlib
from typing import Any

import asyncpg
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis.channel import open_channel
from services.chassis.credentials import Credentials
from services.chassis.roles import Role
from services.cli import admin

_PAUSE_SECONDS = 0.05
_LISTENERS, _GATEWAYS = "listener_manager.total_listeners_active", "cluster.gateway.membership_healthy"
# Somebody waits for each connection: no growing pauses between attempts.
_CONNECT_PAUSE_MS, _LONGEST_CONNECT_PAUSE_MS = 50, 100
# A call that waits for a process shows the certificate that held when it began.
_WATCH_SECONDS = 60.0
_LIFE = "server.hot_restart_epoch"


async def grpc_serving(address: str, role: Role | None = None, credentials: Credentials | None = None) -> None:
    """Wait until the standard health service at the address says SERVING. It tells us; we do not keep asking.

    Args:
        address: where.
        role: what the process is.
        credentials: what proves us to it, where it is reached over TCP.
    """
    async with open_channel(
        address, role, credentials, pause_ms=_CONNECT_PAUSE_MS, longest_pause_ms=_LONGEST_CONNECT_PAUSE_MS
    ) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its type has no Watch
        while True:
            watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=_WATCH_SECONDS, wait_for_ready=True)
            try:
                # Iterated over and left in the middle, it would refer to itself, and gRPC's threads live on with it.
                while (response := await watch.read()) is not grpc.aio.EOF:
                    if response.status == health_pb2.HealthCheckResponse.SERVING:
                        return
            except grpc.aio.AioRpcError:
                await asyncio.sleep(_PAUSE_SECONDS)  # it has gone away; the next watch waits for its successor
            finally:
                watch.cancel()


async def edge_open(socket: pathlib.Path, *, gateways: bool = True, life: int = 0) -> None:
    """Wait until Envoy listens and, with `gateways`, has one to call.

    Asked by its admin socket: TLS may keep us from its door. With a `life`, until it is that one, by its count of those
    that have taken over from one another.
    """
    while True:
        try:
            found = await admin.counts(socket, _LISTENERS, _GATEWAYS, _LIFE)
            called = found[_GATEWAYS] or not gateways
            open_now = found[_LISTENERS] and called and found[_LIFE] >= life
            if open_now and (await admin.ask(socket, "GET", "/ready")).startswith("LIVE"):
                return
        except (OSError, ValueError):
            pass  # not there yet, or gone in the middle of an answer
        await asyncio.sleep(_PAUSE_SECONDS)


async def postgres_accepting(dsn: str) -> None:
    """Wait until PostgreSQL takes connections."""
    while True:
        try:
            connection = await asyncpg.connect(dsn)
        except (OSError, asyncpg.PostgresError):
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            await connection.close()
            return


async def http_ready(host: str, port: int, path: str) -> None:
    """Wait until a GET of the path is answered with 200."""
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                if b" 200 " in await reader.readline():
                    return
            finally:
                writer.close()
        except OSError:
            pass  # not there yet
        await asyncio.sleep(_PAUSE_SECONDS)
