"""What a gateway says to its router, and with how many messages."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from hybridinference.router.v1 import placement_pb2 as placement
from hybridinference.router.v1 import router_service_pb2 as router

from services.gateway.router_outbox import RouterOutbox
from tests.fakes import eventually

NEVER = 3600.0


class Stream:
    """A router's end, which keeps what it hears: the names in each message."""

    def __init__(self) -> None:
        self.heard: list[list[str]] = []

    async def write(self, message: router.PlaceRequest) -> None:
        self.heard.append([_name(command) for command in message.commands])


@pytest.fixture
async def stream() -> Stream:
    return Stream()


@pytest.fixture
async def outbox(stream: Stream) -> AsyncIterator[RouterOutbox]:
    """One that never sends by time alone, on a stream that has begun."""
    made = RouterOutbox(moment_seconds=NEVER)
    made.begin(router.Hello(gateway="g"))
    writing = asyncio.create_task(made.write(cast(Any, stream)))
    await eventually(lambda: stream.heard == [["g"]], seconds=30)
    yield made
    writing.cancel()


def _ask(name: str) -> router.PlaceCommand:
    return router.PlaceCommand(ask=placement.PlacementAsk(generation_id=name))


def _content(name: str) -> router.PlaceCommand:
    return router.PlaceCommand(first_content=placement.FirstContent(attempt_id=name))


def _name(command: router.PlaceCommand) -> str:
    return command.hello.gateway or command.ask.generation_id or command.first_content.attempt_id


async def _turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_is_mentioned_goes_before_what_is_told_next_in_one_message(
    outbox: RouterOutbox, stream: Stream
) -> None:
    outbox.mention(_content("one"))
    outbox.mention(_content("two"))
    await _turns()
    assert stream.heard == [["g"]]
    outbox.tell(_ask("three"))
    await eventually(lambda: len(stream.heard) == 2, seconds=30)
    assert stream.heard[1] == ["one", "two", "three"]
    assert outbox.messages == 2


async def test_what_is_mentioned_is_sent_after_a_moment(outbox: RouterOutbox, stream: Stream) -> None:
    outbox.moment_seconds = 0.0
    outbox.mention(_content("one"))
    await eventually(lambda: stream.heard[1:] == [["one"]], seconds=30)
    outbox.mention(_content("two"))
    await eventually(lambda: stream.heard[2:] == [["two"]], seconds=30)


async def test_what_is_mentioned_while_requests_wait_is_sent_at_once(outbox: RouterOutbox, stream: Stream) -> None:
    outbox.mention(_content("before"))
    outbox.hurry(True)
    await eventually(lambda: stream.heard[1:] == [["before"]], seconds=30)
    outbox.mention(_content("meanwhile"))
    await eventually(lambda: stream.heard[2:] == [["meanwhile"]], seconds=30)
    outbox.hurry(False)
    outbox.mention(_content("after"))
    await _turns()
    assert len(stream.heard) == 3


async def test_a_new_stream_begins_with_its_hello_and_hears_nothing_of_another_s(
    outbox: RouterOutbox, stream: Stream
) -> None:
    outbox.hurry(True)
    await _turns()
    outbox.begin(router.Hello(gateway="again"))
    await eventually(lambda: stream.heard[1:] == [["again"]], seconds=30)
    outbox.mention(_content("one"))
    outbox.begin(router.Hello(gateway="once more"))
    await eventually(lambda: stream.heard[2:] == [["once more"]], seconds=30)
    outbox.mention(_content("two"))
    await _turns()
    assert len(stream.heard) == 3, "nobody has said of this stream that requests wait"
