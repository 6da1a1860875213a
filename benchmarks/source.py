"""`python -m benchmarks.source`: answers each request with an endless paced stream, by one timer and plain sockets."""

import argparse
import asyncio
from typing import cast

import uvloop

from benchmarks.child import commands
from benchmarks.skeleton.sse import piece

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
# As the Gemini API writes it, with the members that every event has.
_GEMINI = (
    b'data: {"candidates": [{"content": {"parts": [{"text": " seven"}],"role": "model"},"index": 0}],"usageMetadata": '
    b'{"promptTokenCount": 14,"candidatesTokenCount": 7,"totalTokenCount": 21},"modelVersion": "gemini-2.5-flash",'
    b'"responseId": "mLMlaZ2kN8iO7M8P5b2K6Qs"}\r\n\r\n'
)
_PIECES = {"openai": piece(" seven"), "gemini": _GEMINI}


class Taker(asyncio.Protocol):
    """One connection. It takes part in each step from its request on."""

    def __init__(self, takers: set["Taker"]) -> None:
        self._takers = takers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none of its subclasses

    def data_received(self, data: bytes) -> None:
        if self not in self._takers:  # a request may come in several parts
            self.transport.write(_HEAD)
            self._takers.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._takers.discard(self)


async def run(port: int, pace: float, body: bytes) -> None:
    """Serve until the parent is gone."""
    loop = asyncio.get_running_loop()
    takers: set[Taker] = set()
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n"

    def step(due: float) -> None:
        for taker in takers:
            taker.transport.write(chunk)
        loop.call_at(due + pace, step, due + pace)

    server = await loop.create_server(lambda: Taker(takers), "127.0.0.1", port)
    step(loop.time())
    async with server:
        async for _ in commands():
            pass


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.source")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token-ms", type=float, default=10)
    parser.add_argument("--wire", choices=list(_PIECES), default="openai", help="whose events they are")
    arguments = parser.parse_args()
    uvloop.run(run(arguments.port, arguments.token_ms / 1e3, _PIECES[arguments.wire]))


if __name__ == "__main__":
    main()
