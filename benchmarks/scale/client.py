"""`python -m benchmarks.scale.client`: many streams, each at a pace of its own, so that no two step together for long.

All streams of an echo worker that have one pace step at the same moments. Joined in one message they would cost less
the more of them there are, which would hide what is to be measured.
"""

import argparse
import asyncio
import json
import resource

import uvloop

from benchmarks.child import answer, commands
from benchmarks.client import Stream, Tally

_AT_ONCE = 64  # connections that are being opened
_FIRST_SECONDS = 60.0
_TOKENS = 1_000_000
_HEADERS = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


def paces(mean_ms: float, streams: int, spread: float) -> list[float]:
    """A pace in ms for each stream, evenly from `1 - spread` to `1 + spread` of what gives the mean rate together."""
    factors = [1.0 if streams == 1 else 1.0 - spread + 2.0 * spread * each / (streams - 1) for each in range(streams)]
    scale = sum(1.0 / factor for factor in factors) / streams
    return [mean_ms * scale * factor for factor in factors]


def request(token_ms: float) -> bytes:
    """The bytes of a request for an endless answer at that pace."""
    message = {"role": "user", "content": "one two three four five six seven eight"}
    asked = {"model": "echo", "messages": [message], "stream": True, "echo": {"tokens": _TOKENS, "token_ms": token_ms}}
    body = json.dumps(asked).encode()
    return f"{_HEADERS}content-length: {len(body)}\r\n\r\n".encode() + body


def raise_descriptors() -> None:
    """As many sockets as the system lets this user have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def run(port: int, each: list[float]) -> None:
    """Open the streams, say so when each has begun, obey the parent."""
    loop = asyncio.get_running_loop()
    tally, room = Tally(), asyncio.Semaphore(_AT_ONCE)

    async def open_one(pace: float) -> None:
        began: asyncio.Future[None] = loop.create_future()
        async with room:
            await loop.create_connection(lambda: Stream(request(pace), tally, began), "127.0.0.1", port)
            await asyncio.wait_for(began, _FIRST_SECONDS)

    async with asyncio.TaskGroup() as tasks:
        for pace in each:
            tasks.create_task(open_one(pace))
    async for command in commands():
        if command == "begin":
            tally.begin()
        answer(tally.report())


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale.client")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--token-ms", type=float, required=True, help="mean time between two tokens of a stream")
    parser.add_argument("--spread", type=float, default=0.25, help="paces differ by so much of the mean, both ways")
    arguments = parser.parse_args()
    raise_descriptors()
    uvloop.run(run(arguments.port, paces(arguments.token_ms, arguments.streams, arguments.spread)))


if __name__ == "__main__":
    main()
