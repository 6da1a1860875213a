"""One reply: what is written, in which order, while content, comments and the reader's going away meet."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody
from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.deadline import Deadline
from services.chassis.failure import Failure
from services.gateway.call import Call
from services.gateway.openai.reply import COMMENT, EVENTS, PIECE_BYTES, Reply
from services.gateway.quota.refusal import Limited
from services.gateway.quota.reservation import UNLIMITED, Meter
from tests.fakes import eventually

SILENCE = 0.02
LOST = Failure(reasons.ERROR_REASON_WORKER_LOST, "lost")


class Wire:
    """A call's context, which takes what is written only while it is open, and one write at a time as gRPC does."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.gone = False
        self.metadata: dict[str, str] = {}
        self.written: list[bytes] = []
        self.writing = 0
        self.overlapped = False

    async def send_initial_metadata(self, metadata: tuple[tuple[str, str], ...]) -> None:
        await self._taken()
        self.metadata = dict(metadata)

    async def write(self, body: HttpBody) -> None:
        await self._taken()
        self.written.append(body.data)

    async def _taken(self) -> None:
        self.overlapped = self.overlapped or self.writing > 0
        self.writing += 1
        try:
            await self.open.wait()
            if self.gone:
                raise grpc.aio.InternalError("nobody takes it")
        finally:
            self.writing -= 1


class Running:
    """A request under way."""

    dropped: tuple[str, ...] = ()
    provider_model = ""
    limits = UNLIMITED

    def __init__(self, *, streamed: bool = True) -> None:
        spec = generation.GenerationSpec()
        self.call = Call(spec=spec, api="openai", streamed=streamed, deadline=Deadline(None))

    def route(self) -> inference.Route:
        return inference.Route()


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """What is written to, one at a time."""
    made = Wire()
    yield made
    assert not made.overlapped


@contextlib.asynccontextmanager
async def replying(wire: Wire, silence: float = SILENCE, **running: Any) -> AsyncIterator[Reply]:
    made = Reply(wire, traceparent="t", keep_alive_seconds=silence)  # type: ignore[arg-type]
    async with made.failing_in_kind():
        made.serve(Running(**running))  # type: ignore[arg-type]
        yield made


async def test_a_comment_breaks_each_silence_before_content_and_after_it(wire: Wire) -> None:
    async with replying(wire) as reply:
        await eventually(lambda: len(wire.written) >= 2, seconds=30)
        await reply.write(b"content", EVENTS)
        at = wire.written.index(b"content")
        await eventually(lambda: len(wire.written) > at + 2, seconds=30)
    assert at >= 2
    assert wire.written.pop(at) == b"content"
    assert set(wire.written) == {COMMENT}
    written = len(wire.written)
    await asyncio.sleep(3 * SILENCE)
    assert len(wire.written) == written, "a comment after the end"


async def test_content_in_time_leaves_no_silence(wire: Wire) -> None:
    now = asyncio.get_running_loop().time
    longest = math.inf
    for _ in range(20):  # until the machine has let all of it be in time
        wire.written.clear()
        began = at = now()
        longest = 0.0
        async with replying(wire, silence=0.5) as reply:
            while now() - began < 0.8:
                await reply.write(b"x", EVENTS)
                await asyncio.sleep(0.01)
                at, before = now(), at
                longest = max(longest, at - before)
        if longest < 0.5:
            break
    assert longest < 0.5
    assert set(wire.written) == {b"x"}


@pytest.mark.parametrize("off", [{"silence": 0}, {"streamed": False}])
async def test_there_are_no_comments_where_there_are_to_be_none(wire: Wire, off: dict[str, Any]) -> None:
    async with replying(wire, **off) as reply:
        await asyncio.sleep(5 * SILENCE)
        await reply.write(b"content", EVENTS)
    assert wire.written == [b"content"]


async def test_nothing_runs_beside_a_stream_that_is_not_silent(wire: Wire) -> None:
    alone = asyncio.all_tasks()
    async with replying(wire, silence=15) as reply:
        for _ in range(100):
            await reply.write(b"x", EVENTS)
        assert asyncio.all_tasks() == alone


async def test_content_waits_for_a_comment_that_is_being_written(wire: Wire) -> None:
    wire.open.clear()
    async with replying(wire) as reply:
        await eventually(lambda: wire.writing == 1, seconds=30)
        content = asyncio.create_task(reply.write(b"content", EVENTS))
        await asyncio.sleep(3 * SILENCE)
        assert not content.done()
        wire.open.set()
        await content
    assert wire.written[:2] == [COMMENT, b"content"]


async def test_no_comment_stands_in_line_behind_content_that_is_not_taken(wire: Wire) -> None:
    wire.open.clear()
    async with replying(wire) as reply:
        content = asyncio.create_task(reply.write(b"content", EVENTS))
        await asyncio.sleep(5 * SILENCE)
        wire.open.set()
        await content
        assert wire.written == [b"content"]
        await eventually(lambda: wire.written == [b"content", COMMENT], seconds=30)


async def test_a_failure_while_a_comment_is_being_written_is_an_event_after_it(wire: Wire) -> None:
    wire.open.clear()
    async with replying(wire):
        await eventually(lambda: wire.writing == 1, seconds=30)
        asyncio.get_running_loop().call_later(SILENCE, wire.open.set)
        raise LOST
    assert "x-http-status" not in wire.metadata
    comment, event = wire.written
    assert (comment, event[:15]) == (COMMENT, b'data: {"error":')


async def test_a_reply_does_not_end_while_a_comment_is_being_written(wire: Wire) -> None:
    wire.open.clear()
    async with replying(wire):
        await eventually(lambda: wire.writing == 1, seconds=30)
        asyncio.get_running_loop().call_later(3 * SILENCE, wire.open.set)
    assert (wire.writing, wire.written) == (0, [COMMENT])
    await asyncio.sleep(3 * SILENCE)
    assert wire.written == [COMMENT]


async def test_what_is_too_large_for_the_edge_goes_in_pieces_that_no_comment_comes_between(wire: Wire) -> None:
    large = b"x" * (2 * PIECE_BYTES + 1)
    async with replying(wire) as reply:
        await reply.write(large, EVENTS)
        wire.open.clear()
        more = asyncio.create_task(reply.write(large, EVENTS))
        await asyncio.sleep(3 * SILENCE)
        wire.open.set()
        await more
    assert [len(piece) for piece in wire.written] == [PIECE_BYTES, PIECE_BYTES, 1] * 2


async def test_a_failure_before_any_byte_is_a_status(wire: Wire) -> None:
    async with replying(wire):
        raise LOST
    assert wire.metadata["x-http-status"] == "503"


async def test_a_face_says_for_itself_how_its_streams_fail(wire: Wire) -> None:
    made = Reply(wire, traceparent="t", keep_alive_seconds=0)  # type: ignore[arg-type]
    async with made.failing_in_kind():
        made.serve(Running(), error_event=lambda failure, _: f"event: {failure.reason_name}\n\n".encode())  # type: ignore[arg-type]
        await made.write(b"content", EVENTS)
        raise LOST
    assert wire.written == [b"content", b"event: WORKER_LOST\n\n"]


@pytest.mark.parametrize("waiting", ["for content", "for the comment"])
async def test_a_reader_that_leaves_while_a_comment_is_being_written_leaves_nothing_behind(
    wire: Wire, waiting: str
) -> None:
    wire.open.clear()
    alone = asyncio.all_tasks()

    async def handle() -> None:
        async with replying(wire) as reply:
            await eventually(lambda: wire.writing == 1, seconds=30)
            if waiting == "for content":
                await asyncio.get_running_loop().create_future()
            await reply.write(b"content", EVENTS)

    handler = asyncio.create_task(handle())
    await asyncio.sleep(3 * SILENCE)
    await eventually(lambda: wire.writing == 1, seconds=30)
    handler.cancel(LOST)
    with pytest.raises(asyncio.CancelledError) as caught:
        await handler
    assert caught.value.args == (LOST,), "the reason of an eviction is the end that a caller is told"
    assert (asyncio.all_tasks() - alone, wire.writing, wire.written) == (set(), 0, [])


async def test_a_comment_that_nobody_takes_is_no_fault_and_content_tells(wire: Wire) -> None:
    wire.gone = True

    async def handle() -> None:
        async with replying(wire) as reply:
            await asyncio.sleep(3 * SILENCE)
            assert wire.written == []
            await reply.write(b"content", EVENTS)

    with pytest.raises(grpc.aio.InternalError):
        await handle()


async def test_who_is_refused_by_a_limit_of_a_minute_is_told_where_it_stands_and_when_to_come_back(wire: Wire) -> None:
    why = Failure(reasons.ERROR_REASON_RATE_LIMITED, "over the limit", retry_after=12.3, limit="requests")
    async with Reply(wire, traceparent="t", keep_alive_seconds=0).failing_in_kind():  # type: ignore[arg-type]
        raise Limited(why, Meter(60, 0, 12.3), None)
    told = {name: value for name, value in wire.metadata.items() if name.startswith(("x-", "retry-"))}
    assert told == {
        "x-http-status": "429",
        "retry-after": "13",
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "13s",
    }
