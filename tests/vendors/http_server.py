"""What fake vendors have in common: HTTP/1.1 over asyncio, answers by script, and faults."""

import asyncio
import contextlib
import dataclasses
import itertools
import json
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar


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
        """The key, wherever the vendor wants it."""
        return self.headers.get("x-goog-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")


class HTTPServer:
    """Answers each request as `answer` says, and remembers what it was asked and who is connected."""

    def __init__(self, answer: Callable[[Asked], Script]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.busy = 0
        self.connections = 0
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        try:
            begun: bytes | None = b""
            while begun is not None:
                begun = await self._request(begun, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.connections -= 1
            writer.close()

    async def _request(self, begun: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        """Answer a request that has begun; the beginning of the next one, or None where there can be none."""
        head = (begun + await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = json.loads(await reader.readexactly(int(headers.get("content-length", "0"))) or b"{}")
        asked = Asked(head[0].split()[1], headers, body, asyncio.get_running_loop().time())
        self.asked.append(asked)
        self.busy += 1
        gone = asyncio.ensure_future(reader.read(1))  # nothing more comes but the end
        sending = asyncio.ensure_future(_send(self.answer(asked), writer))
        try:
            await asyncio.wait([gone, sending], return_when=asyncio.FIRST_COMPLETED)
            if gone.done() and gone.result():
                await sending  # a quick client asks again before we know that our answer is out
            if not sending.done() or not sending.result():
                return None
            return await _seen(gone)
        finally:
            self.busy -= 1
            for task in (gone, sending):
                task.cancel()
            await asyncio.gather(gone, sending, return_exceptions=True)


async def _seen(gone: "asyncio.Future[bytes]") -> bytes | None:
    """What the look-out for the connection's end has seen: the beginning of another request, nothing, or the end."""
    gone.cancel()
    try:
        return await gone or None
    except asyncio.CancelledError:
        return b""


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
    return script.chunked or body == script.body  # what is missing of a length that was promised never comes


def _pieces(script: Script, body: bytes) -> list[bytes]:
    if script.event_delay and not script.write_bytes:
        ends = [found.end() for found in re.finditer(rb"\n\r?\n", body)]
        return [body[start:end] for start, end in itertools.pairwise([0, *ends, len(body)]) if start < end]
    size = script.write_bytes or len(body) or 1
    return [body[start : start + size] for start in range(0, len(body), size)]


Server = TypeVar("Server", bound=HTTPServer)


@contextlib.asynccontextmanager
async def listening(fake: Server) -> AsyncIterator[Server]:
    """The server, on a port of its own."""
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


def failing(status: int, body: bytes = b"", **headers: str) -> Script:
    """An answer that is an error."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Script(body, status, {"content-type": "application/json", **named}, chunked=False)


def in_turn(scripts: Sequence[Script]) -> Callable[[Asked], Script]:
    """One script after the other; the last again and again."""
    left = list(scripts)
    return lambda asked: left.pop(0) if len(left) > 1 else left[0]


@contextlib.contextmanager
def in_a_thread(serving: AbstractAsyncContextManager[Server]) -> Iterator[Server]:
    """A server in a thread with a loop of its own, for tests that block theirs."""
    up: list[Server] = []
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with serving as fake:
            up.append(fake)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield up[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
