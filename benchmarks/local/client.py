"""`python -m benchmarks.local.client`: streams that all begin at once and are read to their end.

Started by `benchmarks.local.run`. The parent says
`go`: ask; answered when every stream has had its first word;
`count N`: answered when N more pieces have come;
`report`: what came since the last `report` or `go`, stream by stream;
`finish`: answered when every stream has ended, with what its usage said.
"""

import argparse
import asyncio
import contextlib
import json
import time
from collections.abc import Sequence
from typing import Any

import uvloop

from benchmarks.child import answer, commands

_TOPICS = ("lighthouse", "river", "clock", "garden", "bridge", "violin", "mountain", "letter")


def question(number: int) -> str:
    """What a stream asks: each something else."""
    return f"Tell me a long story about a {_TOPICS[number % len(_TOPICS)]}, number {number}."


def body(model: str, number: int, tokens: int) -> bytes:
    """The request, the same for everybody who is asked."""
    return json.dumps(
        {
            "model": model,
            "messages": [{"role": "user", "content": question(number)}],
            "max_tokens": tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ).encode()


class Tally:
    """What all streams wait for."""

    def __init__(self, streams: int) -> None:
        self.pieces = 0
        self._silent = streams
        self._running = streams
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.reached = asyncio.Event()
        self.goal = 0

    def first(self) -> None:
        self._silent -= 1
        if not self._silent:
            self.begun.set()

    def piece(self) -> None:
        self.pieces += 1
        if self.pieces >= self.goal:
            self.reached.set()

    def over(self) -> None:
        self._running -= 1
        if not self._running:
            self.ended.set()
            self.begun.set()  # nobody need wait for what has failed
            self.reached.set()


class Stream:
    """One answer: when its words came, and what its usage says."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.asked = self.first = self.last = 0.0
        self.since = self.latest = 0.0
        self.pieces = self.counted = 0
        self.tokens = 0
        self.failure = ""

    async def read(self, host: str, port: int, request: bytes) -> None:
        """Ask and read to the end. A failure is kept, not raised: the others go on."""
        try:
            reader, writer = await asyncio.open_connection(host, port)
            with contextlib.closing(writer):
                self.asked = time.perf_counter()
                writer.write(request)
                await self._read(reader)
        except (OSError, ValueError, EOFError) as error:
            self.failure = f"{type(error).__name__}: {error}"
        if not self.tokens and not self.failure:
            self.failure = "the answer has no usage"
        self._tally.over()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise ValueError((head + await reader.read(500)).decode("utf-8", "replace"))
        while line := await reader.readline():
            if line.startswith(b"data: [DONE]"):
                return
            if line.startswith(b"data: "):
                self._take(line)

    def _take(self, line: bytes) -> None:
        event = json.loads(line[6:])
        if usage := event.get("usage"):
            self.tokens = usage["completion_tokens"]
        if "error" in event:
            raise ValueError(line.decode("utf-8", "replace"))
        if any(choice["delta"].get("content") for choice in event.get("choices") or ()):
            self._piece()

    def _piece(self) -> None:
        now = time.perf_counter()
        if not self.first:
            self.first = now
            self._tally.first()
        if not self.counted:
            self.since = now
        self.last = self.latest = now
        self.pieces += 1
        self.counted += 1
        self._tally.piece()

    def report(self) -> dict[str, float]:
        """Pieces since the last report, and the time from the first of them to the last, in seconds."""
        told = {"pieces": self.counted, "seconds": self.latest - self.since if self.counted else 0.0}
        self.counted = 0
        return told

    def whole(self) -> dict[str, Any]:
        """The answer as a whole, times in seconds."""
        return {
            "first": self.first - self.asked,
            "lasted": self.last - self.first,
            "pieces": self.pieces,
            "tokens": self.tokens,
        }


async def run(host: str, port: int, requests: Sequence[bytes]) -> None:
    """Obey the parent."""
    tally = Tally(len(requests))
    streams = [Stream(tally) for _ in requests]
    tasks: list[asyncio.Task[None]] = []
    async for command in commands():
        word, _, number = command.partition(" ")
        if word == "go":
            tasks = [
                asyncio.create_task(one.read(host, port, asked)) for one, asked in zip(streams, requests, strict=True)
            ]
            await tally.begun.wait()
            for one in streams:
                one.report()
            answer({"failures": _failures(streams)})
        elif word == "count":
            tally.goal = tally.pieces + int(number)
            tally.reached.clear()
            await tally.reached.wait()
            answer({"failures": _failures(streams)})
        elif word == "report":
            answer([one.report() for one in streams])
        else:
            await tally.ended.wait()
            answer({"failures": _failures(streams), "answers": [one.whole() for one in streams]})
    for task in tasks:
        task.cancel()


def _failures(streams: Sequence[Stream]) -> list[str]:
    return [one.failure for one in streams if one.failure][:3]


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local.client")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=32, help="length of each answer")
    parser.add_argument("--header", action="append", default=[], help="`name: value`, sent with each request")
    arguments = parser.parse_args()
    lines = ["POST /v1/chat/completions HTTP/1.1", "host: localhost", "content-type: application/json"]
    requests = []
    for number in range(arguments.streams):
        content = body(arguments.model, number, arguments.tokens)
        head = "\r\n".join([*lines, *arguments.header, f"content-length: {len(content)}"])
        requests.append(head.encode() + b"\r\n\r\n" + content)
    uvloop.run(run(arguments.host, arguments.port, requests))


if __name__ == "__main__":
    main()
