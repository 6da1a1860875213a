"""Ways to wait until a process can do its work. None of them gives up by itself: the caller has the deadline."""

import asyncio
import pathlib
from typing import Any

import asyncpg
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.cli import admin

_PAUSE_SECONDS = 0.05
_LISTENERS, _GATEWAYS = "listener_manager.total_listeners_active", "cluster.gateway.membership_healthy"
# Connections are to this host, and somebody waits for each of them: no growing pauses between attempts.
_CHANNEL_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.default_authority", "localhost"),
]


async def grpc_serving(address: str) -> None:
    """Wait until the standard health service at the address says SERVING. It tells us; we do not keep asking."""
    async with grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its type has no Watch
        while True:
            watch = stub.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True)
            try:
                async for response in watch:
                    if response.status == health_pb2.HealthCheckResponse.SERVING:
                        return
            except grpc.aio.AioRpcError:
                await asyncio.sleep(_PAUSE_SECONDS)  # it has gone away; the next watch waits for its successor
            finally:
                watch.cancel()


async def edge_open(socket: pathlib.Path) -> None:
    """Wait until Envoy listens and has a gateway to call. Asked by its admin socket: TLS may keep us from its door."""
    while True:
        try:
            found = await admin.counts(socket, _LISTENERS, _GATEWAYS)
            if all(found.values()) and (await admin.ask(socket, "GET", "/ready")).startswith("LIVE"):
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
