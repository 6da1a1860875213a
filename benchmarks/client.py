"""`python -m benchmarks.client`: the load, in a process of its own, as cheap as Python can make it.

HTTP/1.1 over plain sockets. A stream's bytes are counted, not parsed: pieces by their `data:`, writes by the end of an
HTTP chunk. The parent says `begin` and `report`; what is between the two is counted.
"""

import argparse
import array
import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, cast

import uvloop

from benchmarks.child import answer, commands
from benchmarks.quantiles import quantile

_HEADERS_END = b"\r\n\r\n"
# Every piece ends with an empty line, every chunk with \r\n after it.
_CHUNK_END = b"\n\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"


class Tally:
    """What has come since `begin`."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.begin()

    def begin(self) -> None:
        self.begun = time.perf_counter()
        self.pieces = self.writes = self.reads = self.replies = 0
        self.waits = array.array("d")  # between the reads of a stream, or for a reply

    def report(self) -> dict[str, Any]:
        waits = sorted(self.waits)
        return {
            "seconds": time.perf_counter() - self.begun,
            "pieces": self.pieces,
            "writes": self.writes,
            "reads": self.reads,
            "replies": self.replies,
            "p50_ms": quantile(waits, 0.5) * 1e3,
            "p99_ms": quantile(waits, 0.99) * 1e3,
            "failures": self.failures,
        }


class Connection(asyncio.Protocol):
    """One connection, which sends the next request when a reply is whole."""

    def __init__(self, request: bytes, tally: Tally, began: Callable[[], None]) -> None:
        self._request = request
        self._tally = tally
        self._began = began
        self._rest = b""
        self._in_body = False
        self._at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none of its subclasses
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tally.failures.append(f"a connection ended: {exc}")

    def _send(self) -> None:
        self._in_body, self._rest, self._at = False, b"", time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        if not self._in_body:
            end = data.find(_HEADERS_END)
            if end < 0:
                self._rest = data
                return
            if not data.startswith(b"HTTP/1.1 200"):
                self._tally.failures.append(data[:200].decode("latin-1"))
            self._in_body, data = True, data[end + len(_HEADERS_END) :]
        self._body(data)

    def _body(self, data: bytes) -> None:
        raise NotImplementedError


class Stream(Connection):
    """Takes one endless answer."""

    def _body(self, data: bytes) -> None:
        tally = self._tally
        tally.reads += 1
        whole = data.rfind(_CHUNK_END) + len(_CHUNK_END)
        if whole < len(_CHUNK_END):
            self._rest = data
            return
        self._rest = data[whole:]
        tally.pieces += data.count(b"data: ", 0, whole)
        tally.writes += data.count(_CHUNK_END, 0, whole)
        now = time.perf_counter()
        tally.waits.append(now - self._at)
        self._at = now
        self._began()


class Requests(Connection):
    """Asks again and again."""

    def _body(self, data: bytes) -> None:
        if not data.endswith(_LAST_CHUNK):
            self._rest = data
            return
        self._tally.replies += 1
        self._tally.waits.append(time.perf_counter() - self._at)
        self._began()
        self._send()


def request(model: str, *, tokens: int, stream: bool) -> bytes:
    """The bytes of a chat completion, whose length the echo provider takes from its option."""
    message = {"role": "user", "content": "one two three four five six seven eight"}
    body = json.dumps({"model": model, "messages": [message], "stream": stream, "echo": {"tokens": tokens}}).encode()
    lines = ["POST /v1/chat/completions HTTP/1.1", "host: localhost", "content-type: application/json"]
    return "\r\n".join([*lines, f"content-length: {len(body)}"]).encode() + _HEADERS_END + body


async def run(host: str, port: int, connections: int, *, stream: bool) -> None:
    """Open the connections, say when each has heard of its peer, obey the parent."""
    loop = asyncio.get_running_loop()
    tally = Tally()
    kind = Stream if stream else Requests
    payload = request("echo", tokens=1_000_000 if stream else 1, stream=stream)
    for _ in range(connections):
        begun = asyncio.Event()
        await loop.create_connection(lambda begun=begun: kind(payload, tally, begun.set), host, port)  # type: ignore[misc]
        await asyncio.wait_for(begun.wait(), 10)
    async for command in commands():
        if command == "begin":
            tally.begin()
        answer(tally.report())


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client")
    parser.add_argument("kind", choices=["streams", "requests"])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=32)
    arguments = parser.parse_args()
    uvloop.run(run(arguments.host, arguments.port, arguments.connections, stream=arguments.kind == "streams"))


if __name__ == "__main__":
    main()
