"""Ways to wait until a process can do its work. None of them gives up by itself: the caller has the deadline."""

import asyncio
from typing import Any

import asyncpg
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_PAUSE_SECONDS = 0.05
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


async def http_ok(host: str, port: int, path: str) -> None:
    """Wait until a GET is answered with 200."""
    while True:
        try:
            if await _status(host, port, path) == 200:
                return
        except (OSError, ValueError, IndexError):
            pass  # not listening yet, or gone in the middle of an answer
        await asyncio.sleep(_PAUSE_SECONDS)


async def _status(host: str, port: int, path: str) -> int:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()


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
