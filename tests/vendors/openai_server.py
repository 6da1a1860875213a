"""A server that speaks OpenAI's wire protocol by itself: HTTP/1.1 over asyncio, chunked events, and faults."""

import asyncio
import binascii
import contextlib
import dataclasses
import json
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any


@dataclasses.dataclass(slots=True)
class Script:
    """How to answer a request: all of it is sent, in writes of `write_bytes`, and cut after `cut_after` bytes."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = dataclasses.field(default_factory=lambda: {"content-type": "text/event-stream"})
    delay: float = 0.0
    event_delay: float = 0.0
    cut_after: int | None = None
    reset: bool = False
    write_bytes: int = 0
    hang: bool = False
    chunked: bool = True


@dataclasses.dataclass(slots=True)
class Asked:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float

    @property
    def key(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")


class OpenAIServer:
    """Answers each request as `answer` says, and remembers what it was asked and who is connected."""

    def __init__(self, answer: Callable[[Asked], Script]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.busy = 0
        self.connections = 0
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        try:
            while await self._request(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.connections -= 1
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = json.loads(await reader.readexactly(int(headers.get("content-length", "0"))) or b"{}")
        asked = Asked(head[0].split()[1], headers, body, asyncio.get_running_loop().time())
        self.asked.append(asked)
        self.busy += 1
        gone = asyncio.ensure_future(reader.read(1))  # nothing more comes but the end
        sending = asyncio.ensure_future(_send(self.answer(asked), writer))
        try:
            await asyncio.wait([gone, sending], return_when=asyncio.FIRST_COMPLETED)
            return sending.done() and sending.result() and not gone.done() and await _again(gone)
        finally:
            self.busy -= 1
            for task in (gone, sending):
                task.cancel()
            await asyncio.gather(gone, sending, return_exceptions=True)


async def _again(gone: "asyncio.Future[bytes]") -> bool:
    """Whether the connection can carry another request: the look-out for its end must not eat that."""
    gone.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await gone
    return True


async def _send(script: Script, writer: asyncio.StreamWriter) -> bool:
    """Answer; whether the connection may go on."""
    await asyncio.sleep(script.delay)
    head = "".join(f"{name}: {value}\r\n" for name, value in script.headers.items())
    length = "transfer-encoding: chunked" if script.chunked else f"content-length: {len(script.body)}"
    writer.write(f"HTTP/1.1 {script.status} Scripted\r\n{head}{length}\r\n\r\n".encode())
    body = script.body if script.cut_after is None else script.body[: script.cut_after]
    for piece in _pieces(script, body):
        writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if script.chunked else piece)
        await writer.drain()
        await asyncio.sleep(script.event_delay)
    if script.hang:
        await asyncio.get_running_loop().create_future()
    if script.reset:
        writer.transport.abort()
        return False
    writer.write(b"0\r\n\r\n" if script.chunked else b"")
    await writer.drain()
    return True


def _pieces(script: Script, body: bytes) -> list[bytes]:
    if script.event_delay and not script.write_bytes:
        return [piece + b"\n\n" for piece in body.split(b"\n\n") if piece]
    size = script.write_bytes or len(body) or 1
    return [body[start : start + size] for start in range(0, len(body), size)]


@contextlib.asynccontextmanager
async def openai_server(answer: Callable[[Asked], Script]) -> AsyncIterator[OpenAIServer]:
    """The server, on a port of its own."""
    fake = OpenAIServer(answer)
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        with contextlib.suppress(asyncio.CancelledError):
            await fake.connected(reader, writer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def chunk(
    delta: dict[str, Any] | None = None, *, index: int = 0, finish: str | None = None, **more: Any
) -> dict[str, Any]:
    """A chunk of one choice."""
    choice = {"index": index, "delta": delta or {}, "finish_reason": finish, **more}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "vendor-model-2026",
        "system_fingerprint": "fp_1",
        "choices": [choice],
        "usage": None,
    }


def usage(prompt: int = 7, completion: int = 3, *, cached: int = 0, reasoning: int = 0) -> dict[str, Any]:
    """The chunk that tells the usage."""
    counted = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    return {**chunk(), "choices": [], "usage": counted}


def sse(*chunks: dict[str, Any], done: bool = True) -> bytes:
    """Chunks as a stream of events."""
    events = [json.dumps(one, ensure_ascii=False) for one in chunks] + (["[DONE]"] if done else [])
    return "".join(f"data: {event}\n\n" for event in events).encode()


def text(*pieces: str, finish: str = "stop") -> bytes:
    """A whole answer of text."""
    deltas = [chunk({"content": piece}) for piece in pieces]
    return sse(chunk({"role": "assistant", "content": ""}), *deltas, chunk(finish=finish), usage(7, len(pieces)))


def tool_calls() -> bytes:
    """Two calls at once, their arguments in pieces, taking turns."""

    def piece(index: int, arguments: str, **first: Any) -> dict[str, Any]:
        function = {"arguments": arguments, **({"name": first.pop("name")} if first else {})}
        return {"index": index, **first, "function": function}

    return sse(
        chunk({"role": "assistant", "content": None}),
        chunk({"tool_calls": [piece(0, "", id="call_a", type="function", name="weather")]}),
        chunk({"tool_calls": [piece(0, '{"city": "Kö')]}),
        chunk({"tool_calls": [piece(1, "", id="call_b", type="function", name="clock")]}),
        chunk({"tool_calls": [piece(0, 'ln"}'), piece(1, '{"zone": ')]}),
        chunk({"tool_calls": [piece(1, '"CET"}')]}),
        chunk(finish="tool_calls"),
        usage(20, 9),
    )


def embeddings(*vectors: Sequence[float], base64: bool = True, tokens: int = 5) -> Script:
    """Vectors, in order."""

    def said(vector: Sequence[float]) -> Any:
        packed = struct.pack(f"<{len(vector)}f", *vector)
        return binascii.b2a_base64(packed, newline=False).decode() if base64 else list(vector)

    items = [{"object": "embedding", "index": n, "embedding": said(vector)} for n, vector in enumerate(vectors)]
    counted = {"prompt_tokens": tokens, "total_tokens": tokens}
    return whole({"object": "list", "data": items, "model": "vendor-model-2026", "usage": counted})


def whole(body: Any) -> Script:
    """An answer that is JSON and not a stream."""
    return Script(json.dumps(body).encode(), headers={"content-type": "application/json"}, chunked=False)


def error(message: str, *, kind: str = "invalid_request_error", code: str | None = None, **more: Any) -> bytes:
    """The body of an error."""
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code, **more}}).encode()


def failing(status: int, body: bytes = b"", **headers: str) -> Script:
    """An answer that is an error."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Script(body, status, {"content-type": "application/json", **named}, chunked=False)


def in_turn(scripts: Sequence[Script]) -> Callable[[Asked], Script]:
    """One script after the other; the last again and again."""
    left = list(scripts)
    return lambda asked: left.pop(0) if len(left) > 1 else left[0]
