"""That the load client counts what comes, in whichever form servers write it."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import answers
from benchmarks.client import Connection, Load, Requests, Stream, Tally, request
from benchmarks.http_answer import Answer
from benchmarks.upstream import Connection as Served
from benchmarks.upstream import Server

_OK = b"HTTP/1.1 200 OK\r\n"
# As several servers write an event: with and without a space, with either end of line, several tokens or none in it.
_EVENTS = st.sampled_from(
    [
        (b'data: {"choices":[{"delta":{"content":" seven"}}]}\n\n', 1),
        (b'data:{"choices": [{"delta": {"content": " seven"}}]}\r\n\r\n', 1),
        (b'data: {"choices":[{"delta":{"content":" seven seven seven"}}]}\n\n', 3),
        (b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n', 0),
        (b": keep-alive\n\n", 0),
    ]
)


def _cut(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    at = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(at)]


def _framed(parts: Sequence[bytes], framing: str) -> bytes:
    body = b"".join(parts)
    if framing == "chunked":
        chunks = [f"{len(part):X};x=1\r\n".encode() + part + b"\r\n" for part in parts if part]
        return _OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + b"0\r\nx: y\r\n\r\n"
    if framing == "length":
        return _OK + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    return _OK + b"connection: close\r\n\r\n" + body


@settings(deadline=None)
@given(
    events=st.lists(_EVENTS, max_size=12),
    framing=st.sampled_from(["chunked", "length", "close"]),
    chunks=st.lists(st.integers(0, 2000), max_size=12),
    reads=st.lists(st.integers(0, 3000), max_size=30),
)
def test_tokens_are_counted_however_events_chunks_and_reads_are_cut(
    events: list[tuple[bytes, int]], framing: str, chunks: list[int], reads: list[int]
) -> None:
    wire = _framed(_cut(b"".join(event for event, _ in events), chunks), framing)
    answer = Answer()
    for read in _cut(wire, reads):
        answer.feed(read)
    assert (answer.status, answer.tokens) == (200, sum(tokens for _, tokens in events))
    assert answer.done == (framing != "close")
    assert answer.endless == (framing == "close")


class _Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True


def _connected(kind: type[Connection]) -> tuple[Connection, Tally, _Wire]:
    tally, wire = Tally(), _Wire()
    one = kind(b"ask", tally, asyncio.get_running_loop().create_future())
    one.connection_made(wire)
    return one, tally, wire


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
async def test_tokens_and_writes_of_a_stream_are_counted(size: int) -> None:
    wire = answers.BEGINNING + answers.TOKEN * 3 + answers.TOKEN
    one, tally, _ = _connected(Stream)
    for start in range(0, len(wire), size):
        one.data_received(wire[start : start + size])
    assert (tally.pieces, tally.writes, tally.failures) == (4, 5, [])


async def test_a_read_that_brings_no_token_ends_no_gap() -> None:
    one, tally, _ = _connected(Stream)
    for read in (answers.BEGINNING, answers.TOKEN, b"f\r\n: keep-alive\n\n\n\r\n", answers.TOKEN * 2):
        one.data_received(read)
    assert (tally.pieces, len(tally.waits), tally.reads) == (3, 2, 4)


async def test_the_next_request_is_sent_when_a_reply_is_whole() -> None:
    one, tally, wire = _connected(Requests)
    reply = answers.completion(1)
    one.data_received(reply[:-1])
    assert wire.written == [b"ask"]
    one.data_received(reply[-1:])
    assert (wire.written, tally.replies, tally.pieces) == ([b"ask", b"ask"], 1, 1)


@pytest.mark.parametrize(
    ("kind", "wire"),
    [
        (Stream, b"HTTP/1.1 503 Service Unavailable\r\n\r\n"),
        (Requests, b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"),
        (Stream, b"no HTTP at all\r\n\r\n"),
        (Stream, answers.BEGINNING + answers.TOKEN + answers.ending(1, usage=True)),
    ],
)
async def test_what_is_not_the_answer_is_a_failure_of_the_measurement(kind: type[Connection], wire: bytes) -> None:
    one, tally, transport = _connected(kind)
    one.data_received(wire)
    one.connection_lost(None)
    assert len(tally.failures) == 1
    assert transport.closed
    assert not await one.ended


async def test_an_answer_without_a_token_is_a_failure_of_the_measurement() -> None:
    one, tally, _ = _connected(Requests)
    one.data_received(_OK + b"content-length: 2\r\n\r\n{}")
    assert (tally.replies, tally.failures) == (1, ["an answer without a token"])


async def test_a_server_may_close_after_an_answer_but_not_before_one() -> None:
    one, tally, _ = _connected(Requests)
    one.data_received(_OK + b"\r\n seven")
    one.connection_lost(None)
    assert await one.ended
    assert (tally.replies, tally.failures) == (1, [])
    early, tally, _ = _connected(Requests)
    early.connection_lost(None)
    assert not await early.ended
    assert len(tally.failures) == 1


@contextlib.asynccontextmanager
async def _loaded(connections: int, *, stream: bool, pace_ms: int | None = None) -> AsyncIterator[tuple[Load, Server]]:
    loop, server = asyncio.get_running_loop(), Server(0.001)
    listening = await loop.create_server(lambda: Served(server), "127.0.0.1", 0)
    payload = request("bench", tokens=1_000_000 if stream else 1, stream=stream, pace_ms=pace_ms)
    async with listening, asyncio.timeout(60), asyncio.TaskGroup() as group:
        load = Load("127.0.0.1", listening.sockets[0].getsockname()[1], payload, stream=stream)
        holding = await load.open(group, connections, patience=60)
        yield load, server
        for one in holding:
            one.cancel()


async def test_every_stream_has_begun_when_they_are_open() -> None:
    async with _loaded(20, stream=True) as (load, server):
        assert server.report()["streams"] == 20
        assert load.tally.pieces >= 20
        load.tally.begin()
        while load.tally.pieces < 100:  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.001)
        assert load.tally.report()["failures"] == []


async def test_one_request_follows_the_other() -> None:
    async with _loaded(3, stream=False) as (load, server):
        while load.tally.replies < 50:  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.001)
        assert load.tally.failures == []
        assert server.report()["replies"] >= 50


async def test_streams_may_be_silent_after_their_first_token() -> None:
    async with _loaded(3, stream=True, pace_ms=3_600_000) as (load, server):
        assert server.report()["streams"] == 3
        assert (load.tally.pieces, load.tally.failures) == (3, [])


async def test_a_server_that_is_not_there_is_a_failure_of_the_measurement() -> None:
    async with asyncio.TaskGroup() as group:
        load = Load("127.0.0.1", 1, b"ask", stream=True)
        await load.open(group, 2, patience=60)
    assert len(load.tally.failures) == 2
