"""Answers on one Place stream."""

import asyncio
from typing import Any, cast

from hybridinference.router.v1 import router_service_pb2 as router_service

from services.router.outbox import Outbox
from tests.fakes import eventually


class Peer:
    """A gateway that reads when it is let."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.read: list[list[str]] = []

    async def write(self, message: router_service.PlaceResponse) -> None:
        await self.reads.wait()
        self.read.append([answer.waiting.generation_id for answer in message.answers])


def _answer(outbox: Outbox, name: str) -> None:
    outbox.add().waiting.generation_id = name


async def test_a_gateway_that_does_not_read_is_not_read_from_either() -> None:
    peer = Peer()
    outbox = Outbox(cast(Any, peer))
    _answer(outbox, "released")
    outbox.hurry()
    await asyncio.sleep(0)
    _answer(outbox, "asked")
    reader = asyncio.create_task(outbox.flush())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not reader.done()
    peer.reads.set()
    await reader
    assert peer.read == [["released"], ["asked"]]


async def test_what_is_ready_together_is_sent_together() -> None:
    peer = Peer()
    peer.reads.set()
    outbox = Outbox(cast(Any, peer))
    for name in ("one", "two"):
        _answer(outbox, name)
        outbox.hurry()
    await eventually(lambda: bool(peer.read), seconds=5.0)
    assert peer.read == [["one", "two"]]
    outbox.close()
