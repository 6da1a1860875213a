"""Who asks after our health, and when a process that takes no more work may stop."""

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from services.chassis.health import Health

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class Asker:
    """Someone who asks again and again."""

    def __init__(self, health: Health, peer: str) -> None:
        self._health = health
        self._peer = peer

    def peer(self) -> str:
        return self._peer

    async def ask(self) -> int:
        context: grpc.aio.ServicerContext[Any, Any] = self  # type: ignore[assignment]  # all that is used of it
        answer = await self._health.Check(health_pb2.HealthCheckRequest(), context)
        await asyncio.sleep(0)  # whoever waits for this may go on
        return answer.status


async def retiring(health: Health) -> "asyncio.Task[None]":
    task = asyncio.create_task(health.retire())
    await asyncio.sleep(0)
    return task


async def test_where_nobody_asks_nobody_is_waited_for() -> None:
    await asyncio.wait_for(Health().retire(), 1)


async def test_everybody_who_asks_hears_it_twice_before_we_go() -> None:
    health = Health(clock=lambda: 100.0)
    edge, other = Asker(health, "unix:"), Asker(health, "ipv4:127.0.0.1:9")
    for asker in (edge, other):
        assert await asker.ask() == SERVING
    leaving = await retiring(health)
    for _ in range(2):
        assert not leaving.done()
        assert await edge.ask() == NOT_SERVING
    assert not leaving.done()
    await other.ask()
    assert not leaving.done()
    await other.ask()
    await asyncio.wait_for(leaving, 1)


async def test_what_was_heard_before_does_not_count() -> None:
    health = Health(clock=lambda: 100.0)
    await health.set("", NOT_SERVING)
    edge = Asker(health, "unix:")
    for _ in range(3):
        await edge.ask()
    leaving = await retiring(health)
    await edge.ask()
    assert not leaving.done()
    await edge.ask()
    await asyncio.wait_for(leaving, 1)


async def test_who_has_not_asked_for_long_is_not_waited_for() -> None:
    now = 100.0
    health = Health(clock=lambda: now)
    await Asker(health, "unix:").ask()
    now += 6.0
    await asyncio.wait_for(health.retire(), 1)


async def test_those_who_come_only_once_are_forgotten() -> None:
    now = 100.0
    health = Health(clock=lambda: now)
    for port in range(1000):
        now += 1.0
        await Asker(health, f"ipv4:127.0.0.1:{port}").ask()
    assert len(health._asked) < 10
