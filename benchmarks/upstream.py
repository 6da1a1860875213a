"""`python -m benchmarks.upstream`: a fake OpenAI server on plain sockets, as cheap as Python can make it.

A stream's first token comes at once, the others at a steady pace, as an engine's steps bring them: all streams of one
pace step together, by one timer. A prompt that says "every 250 ms" gets its own pace.
"""

import argparse
import asyncio
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import orjson
import uvloop

from benchmarks import answers
from benchmarks.child import answer, commands

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)
_CHUNK = re.compile(rb"([0-9a-fA-F]+)[^\r\n]*\r\n")
_PACE = re.compile(rb"\bevery (\d+) ms\b")
_DEFAULT_TOKENS = 16
# Peers ask for a few lengths again and again.
_completion = functools.lru_cache(answers.completion)
_ending = functools.lru_cache(answers.ending)


class Steps:
    """The streams of one pace, which step together. Its timer runs while there are any."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._left: dict[Connection, int] = {}
        self._running = False
        self.written = 0

    def __len__(self) -> int:
        return len(self._left)

    def __iter__(self) -> "Iterator[Connection]":
        return iter(self._left)

    def join(self, connection: "Connection", tokens: int) -> None:
        """Write so many tokens to a connection, the first at the next step."""
        self._left[connection] = tokens
        if not self._running:
            self._running = True
            due = self._loop.time() + self._seconds
            self._loop.call_at(due, self._step, due)

    def leave(self, connection: "Connection") -> None:
        """Write it no more."""
        self._left.pop(connection, None)

    def _step(self, due: float) -> None:
        left, ended = self._left, []
        for connection, tokens in left.items():
            if connection.paused:  # its reader is too slow: it gets this token later
                continue
            connection.write(answers.TOKEN)
            left[connection] = tokens - 1
            self.written += 1
            if tokens == 1:
                ended.append(connection)
        for connection in ended:
            del left[connection]
            connection.end()
        self._running = bool(left)
        if left:
            self._loop.call_at(due + self._seconds, self._step, due + self._seconds)


class Server:
    """What connections have in common: the paces, and how much was asked."""

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self._paces: dict[float, Steps] = {}
        self.replies = 0

    def steps(self, request: bytes) -> Steps:
        """The streams of the pace that a request asks for."""
        asked = _PACE.search(request)
        seconds = int(asked[1]) / 1e3 if asked else self._pace
        return self._paces.setdefault(seconds, Steps(seconds))

    def report(self) -> dict[str, int]:
        """How many streams there are now, tokens written so far, whole answers given so far."""
        paces = self._paces.values()
        streams, tokens = sum(len(one) for one in paces), sum(one.written for one in paces)
        return {"streams": streams, "tokens": tokens, "replies": self.replies}

    def drop(self) -> None:
        """End the connections of all streams."""
        for steps in self._paces.values():
            for connection in list(steps):
                connection.drop()


class Connection(asyncio.Protocol):
    """One connection: requests one after the other."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._rest = b""
        self._steps: Steps | None = None
        self._asked: Mapping[str, Any] = {}
        self.paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        made = cast(asyncio.Transport, transport)  # uvloop's is none of its subclasses
        self.write: Callable[[bytes], None] = made.write
        self.drop: Callable[[], None] = made.abort

    def connection_lost(self, exc: Exception | None) -> None:
        if self._steps is not None:
            self._steps.leave(self)
            self._steps = None

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def data_received(self, data: bytes) -> None:
        self._rest = self._rest + data if self._rest else data
        while self._steps is None and (found := split(self._rest)) is not None:
            head, body, self._rest = found
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        method, path, *_ = head.split(b" ", 2)
        if path.startswith(b"/v1/chat/completions") and method == b"POST":
            self._complete(body)
        elif path.startswith(b"/v1/models"):
            self.write(answers.MODELS)
        else:
            self.write(answers.HEALTHY if path.startswith(b"/health") else answers.NOT_FOUND)

    def _complete(self, body: bytes) -> None:
        try:
            self._asked = asked = orjson.loads(body)
            tokens = _tokens(asked)
        except (ValueError, AttributeError, TypeError):
            self.write(answers.error("400 Bad Request", "The body is no chat completion."))
            return
        if asked.get("stream"):
            # The first token comes at once, as a whole answer does: the two are to take equally long.
            self._steps = self._server.steps(body)
            self._steps.written += 1
            self.write(answers.BEGINNING + answers.TOKEN)
            if tokens == 1:
                self.end()
            else:
                self._steps.join(self, tokens - 1)
        else:
            self._server.replies += 1
            self.write(_completion(tokens))

    def end(self) -> None:
        """The stream has all of its tokens."""
        options = self._asked.get("stream_options") or {}
        self._steps = None
        self.write(_ending(_tokens(self._asked), usage=bool(options.get("include_usage"))))
        self.data_received(b"")  # the next request may be there already


def _tokens(asked: Mapping[str, Any]) -> int:
    return max(1, int(asked.get("max_completion_tokens") or asked.get("max_tokens") or _DEFAULT_TOKENS))


def split(data: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Head, body and what follows of the first HTTP/1.1 request in `data`; None until it is whole."""
    end = data.find(_HEAD_END)
    if end < 0:
        return None
    head, start = data[:end], end + len(_HEAD_END)
    if (length := _LENGTH.search(head)) is not None:
        stop = start + int(length[1])
        return (head, data[start:stop], data[stop:]) if len(data) >= stop else None
    if _CHUNKED.search(head) is None:
        return head, b"", data[start:]
    parts: list[bytes] = []
    while (size := _CHUNK.match(data, start)) is not None:
        start = size.end() + int(size[1], 16)
        if len(data) < start + 2:
            return None
        if start == size.end():
            return head, b"".join(parts), data[start + 2 :]
        parts.append(data[size.end() : start])
        start += 2
    return None


async def run(port: int, pace: float) -> None:
    """Serve until the parent is gone; each line of it is answered with a report, after `drop` has ended all streams."""
    serving = Server(pace)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(serving), "127.0.0.1", port, backlog=4096
    )
    async with server:
        async for command in commands():
            if command == "drop":
                serving.drop()
            answer(serving.report())


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upstream")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token-ms", type=float, default=10)
    arguments = parser.parse_args()
    uvloop.run(run(arguments.port, arguments.token_ms / 1e3))


if __name__ == "__main__":
    main()
