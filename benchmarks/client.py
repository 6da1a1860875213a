"""`python -m benchmarks.client`: the load, in a process of its own, as cheap as Python can make it.

HTTP/1.1 over plain sockets. Answers are not parsed: their tokens are counted, and HTTP's chunks. The parent says
`begin` and `report`; what is between the two is counted.
"""

import argparse
import array
import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any, cast

import uvloop

from benchmarks.child import answer, commands
from benchmarks.http_answer import WORD, Answer
from benchmarks.quantiles import quantile

_STREAM_TOKENS = 1_000_000
_AT_ONCE = 16  # connections that are being opened
_FAILURES_KEPT = 8


class Tally:
    """What has come since `begin`; failures since ever."""

    def __init__(self) -> None:
        self.failed = self.late = 0  # late: of those opened, had not begun when patience ended
        self.failures: list[str] = []
        self.begin()

    def begin(self) -> None:
        self.begun = time.perf_counter()
        self.pieces = self.writes = self.reads = self.replies = self.reconnects = 0
        self.waits = array.array("d")  # between the reads of a stream that bring tokens, or for a reply

    def fail(self, what: str) -> None:
        self.failed += 1
        if len(self.failures) < _FAILURES_KEPT:
            self.failures.append(what)

    def report(self) -> dict[str, Any]:
        waits = sorted(self.waits)
        return {
            "seconds": time.perf_counter() - self.begun,
            "pieces": self.pieces,
            "writes": self.writes,
            "reads": self.reads,
            "replies": self.replies,
            "reconnects": self.reconnects,
            "p50_ms": quantile(waits, 0.5) * 1e3,
            "p99_ms": quantile(waits, 0.99) * 1e3,
            "failed": self.failed,
            "late": self.late,
            "failures": self.failures,
        }


class Connection(asyncio.Protocol):
    """One connection.

    Attributes:
        ended: set when the connection is no more; whether another one is to follow it.
    """

    def __init__(self, request: bytes, tally: Tally, began: "asyncio.Future[None]") -> None:
        """`began` is set when an answer is under way."""
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._request = request
        self._tally = tally
        self._began = began
        self._served = self._failed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none of its subclasses
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        again = not self._failed and self._closed()
        if not again and not self._failed:
            self._tally.fail(f"a connection ended: {exc or 'closed'}")
        if not self.ended.done():
            self.ended.set_result(again)

    def data_received(self, data: bytes) -> None:
        one, tokens, writes = self._answer, self._answer.tokens, self._answer.writes
        try:
            one.feed(data)
        except ValueError:
            self._fail(f"no HTTP: {data[:100]!r}")
            return
        self._tally.reads += 1
        self._tally.writes += one.writes - writes
        if one.status not in (0, 200):
            self._fail(one.excerpt.decode("latin-1"))
        else:
            self._came(one.tokens - tokens)

    def _send(self) -> None:
        self._answer, self._at = Answer(), time.perf_counter()
        self._transport.write(self._request)

    def _begin(self) -> None:
        self._served = True
        if not self._began.done():
            self._began.set_result(None)

    def _fail(self, what: str) -> None:
        self._failed = True
        self._tally.fail(what)
        self._transport.close()

    def _came(self, tokens: int) -> None:
        raise NotImplementedError

    def _closed(self) -> bool:
        raise NotImplementedError


class Stream(Connection):
    """Takes one endless answer."""

    def _came(self, tokens: int) -> None:
        if tokens:
            tally, now = self._tally, time.perf_counter()
            tally.pieces += tokens
            tally.waits.append(now - self._at)
            self._at = now
            self._begin()
        if self._answer.done:
            self._fail(f"a stream ended after {self._answer.tokens} tokens")

    def _closed(self) -> bool:
        return False


class Requests(Connection):
    """Asks again and again, on one connection for as long as the server keeps it."""

    def _came(self, tokens: int) -> None:
        if self._answer.done:
            self._replied()
            self._send()

    def _replied(self) -> None:
        tally, now = self._tally, time.perf_counter()
        if self._answer.tokens == 0:
            tally.fail("an answer without a token")
        tally.pieces += self._answer.tokens
        tally.replies += 1
        tally.waits.append(now - self._at)
        self._begin()

    def _closed(self) -> bool:
        if self._answer.status == 200 and self._answer.endless:
            self._replied()
            return True
        return self._answer.status == 0 and self._served  # between two requests a server may close


def request(
    model: str,
    *,
    tokens: int,
    stream: bool,
    echo: bool = False,
    pace_ms: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of a chat completion.

    Args:
        model: its name.
        tokens: how long the answer is to be.
        stream: whether it comes token by token.
        echo: say the length by the echo provider's own option.
        pace_ms: time between tokens that the fake upstream is told by the prompt.
        headers: more of them.
    """
    words = " ".join([WORD.decode()] * 8)
    content = words if pace_ms is None else f"every {pace_ms} ms: {words}"
    length = {"echo": {"tokens": tokens}} if echo else {"max_tokens": tokens}
    asked = {"model": model, "messages": [{"role": "user", "content": content}], "stream": stream, **length}
    body = json.dumps(asked).encode()
    sent = {
        "host": "localhost",
        "content-type": "application/json",
        **(headers or {}),
        "content-length": str(len(body)),
    }
    lines = ["POST /v1/chat/completions HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Load:
    """Connections that all send the same request."""

    def __init__(self, host: str, port: int, payload: bytes, *, stream: bool) -> None:
        self.tally = Tally()
        self._address = (host, port)
        self._payload = payload
        self._kind = Stream if stream else Requests

    async def open(self, group: asyncio.TaskGroup, connections: int, *, patience: float) -> "list[asyncio.Task[None]]":
        """Open so many, a few at a time: the next ones when these have heard of their peer.

        Args:
            group: whose tasks hold them.
            connections: how many.
            patience: seconds for all of them, after which the rest is opened without waiting; 0 is never to wait.

        Returns:
            The tasks that hold them.
        """
        loop = asyncio.get_running_loop()
        holding: list[asyncio.Task[None]] = []
        began: list[asyncio.Future[None]] = []
        deadline = loop.time() + patience
        for _ in range(connections):
            began.append(loop.create_future())
            holding.append(group.create_task(self._hold(began[-1])))
            if patience and (len(began) % _AT_ONCE == 0 or len(began) == connections):
                await asyncio.wait(began, timeout=max(0.0, deadline - loop.time()))
        if patience and (late := sum(not one.done() for one in began)):
            self.tally.late = late
            self.tally.failures.append(f"{late} have heard nothing within {patience:g} s")
        return holding

    async def _hold(self, began: "asyncio.Future[None]") -> None:
        loop, again = asyncio.get_running_loop(), True
        while again:
            try:
                transport, one = await loop.create_connection(
                    lambda: self._kind(self._payload, self.tally, began), *self._address
                )
            except OSError as refused:
                self.tally.fail(f"no connection: {refused}")
                break
            try:
                again = await one.ended
            finally:
                transport.close()
            self.tally.reconnects += again
        if not began.done():
            began.set_result(None)


async def run(load: Load, connections: int, *, patience: float) -> None:
    """Open the connections, say so, obey the parent until it is gone."""
    async with asyncio.TaskGroup() as group:
        holding = await load.open(group, connections, patience=patience)
        async for command in commands():
            if command == "begin":
                load.tally.begin()
            answer(load.tally.report())
        for one in holding:
            one.cancel()


async def serve(arguments: argparse.Namespace) -> None:
    """Put the load that the command line says on the system."""
    stream = arguments.kind == "streams"
    headers = dict(one.split(": ", 1) for one in arguments.header)
    if arguments.key:
        headers["authorization"] = f"Bearer {arguments.key}"
    payload = request(
        arguments.model,
        tokens=arguments.max_tokens or (_STREAM_TOKENS if stream else 1),
        stream=stream,
        echo=arguments.echo,
        pace_ms=arguments.pace_ms,
        headers=headers,
    )
    load = Load(arguments.host, arguments.port, payload, stream=stream)
    await run(load, arguments.connections, patience=arguments.patience)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client")
    parser.add_argument("kind", choices=["streams", "requests"])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--model", default="echo")
    parser.add_argument("--key", default="", help="a bearer token")
    parser.add_argument("--header", action="append", default=[], metavar="NAME: VALUE")
    parser.add_argument("--max-tokens", type=int, help="length of an answer")
    parser.add_argument("--pace-ms", type=int, help="what the fake upstream is told to take for a token")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds for all answers to begin; 0: do not wait")
    parser.add_argument("--echo", action="store_true", help="ask the echo provider, by its own option")
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
