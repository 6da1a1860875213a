"""`python -m benchmarks.skeleton.worker`: all streams step together; a step is one message."""

import argparse
import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import uvloop

from benchmarks.child import commands
from benchmarks.skeleton.messages import METHOD, SERVICE, Start, Step

_WORD = " seven"  # the client counts it


class Session:
    """One gateway's streams. The first token of a stream comes at once, the others on the beat."""

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self._left: dict[int, int] = {}
        self._begun: list[int] = []
        self._wake = asyncio.Event()
        self._due = False

    async def serve(self, requests: AsyncIterator[Any], context: Any) -> None:
        """Serve until the gateway is gone."""
        self._beat(asyncio.get_running_loop().time())
        async with asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(self._read(requests))
            while not reader.done():
                await self._wake.wait()
                self._wake.clear()
                begun, self._begun = self._begun, []
                if begun:
                    await context.write(self._step(begun))
                due, self._due = self._due, False
                if due and self._left:
                    await context.write(self._step(list(self._left)))

    def _beat(self, due: float) -> None:
        self._due = True
        self._wake.set()
        due += self._pace
        asyncio.get_running_loop().call_at(due, self._beat, due)

    def _step(self, streams: list[int]) -> Any:
        step = Step()
        for stream in streams:
            left = self._left.get(stream, 0) - 1
            step.pieces.add(stream=stream, text=_WORD, last=left <= 0)
            if left > 0:
                self._left[stream] = left
            else:
                self._left.pop(stream, None)
        return step

    async def _read(self, requests: AsyncIterator[Any]) -> None:
        async for start in requests:
            if start.tokens:
                self._left[start.stream] = start.tokens
                self._begun.append(start.stream)
                self._wake.set()
            else:
                self._left.pop(start.stream, None)
        self._wake.set()


async def run(address: str, pace: float) -> None:
    """Serve until the parent is gone."""

    async def serve(requests: AsyncIterator[Any], context: Any) -> None:
        await Session(pace).serve(requests, context)

    server = grpc.aio.server()
    handler = grpc.stream_stream_rpc_method_handler(
        serve,
        request_deserializer=Start.FromString,
        response_serializer=Step.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    server.add_insecure_port(address)
    await server.start()
    async for _ in commands():
        pass
    await server.stop(None)


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.skeleton.worker")
    parser.add_argument("--listen", required=True)
    parser.add_argument("--token-ms", type=float, default=10)
    arguments = parser.parse_args()
    uvloop.run(run(arguments.listen, arguments.token_ms / 1e3))


if __name__ == "__main__":
    main()
