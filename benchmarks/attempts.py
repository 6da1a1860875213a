"""`python -m benchmarks.attempts`: streams on one session with a worker, as a gateway would have them.

The parent says `begin` and `report`; what is between the two is counted. A stream that ends is begun again.
"""

import argparse
import asyncio
import itertools
import json
import time
from typing import Any

import uvloop
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.worker.v1 import session_pb2 as session

from benchmarks.child import answer, commands
from services.chassis.failure import Failure
from services.gateway.session import Sessions, open_sessions

_QUESTION = "Tell me a long story about a lighthouse, its keeper, and the sea."
# More than any measurement takes.
_ENDLESS = json.dumps({"echo": {"tokens": 1_000_000}})


class Tally:
    """What has come since `begin`."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.begin()

    def begin(self) -> None:
        self.begun = time.perf_counter()
        self.tokens = self.batches = 0

    def count(self, events: list[generation.GenerationEvent]) -> None:
        """Count tokens where the provider tells them, and else pieces."""
        self.batches += 1
        self.tokens += sum([event.delta.tokens or 1 for event in events if event.HasField("delta")])

    def report(self) -> dict[str, Any]:
        return {
            "seconds": time.perf_counter() - self.begun,
            "tokens": self.tokens,
            "batches": self.batches,
            "failures": self.failures[:3],
        }


def spec(model: str, *, echo: bool) -> generation.GenerationSpec:
    """A request whose answer is long."""
    asked = generation.GenerationSpec(model=model, provider_options_json=_ENDLESS if echo else "")
    asked.messages.add(role=conversation.ROLE_USER).parts.add(text=_QUESTION)
    asked.sampling.temperature = 0
    return asked


async def stream(
    sessions: Sessions,
    address: str,
    asked: generation.GenerationSpec,
    names: "itertools.count[int]",
    tally: Tally,
    heard: asyncio.Event,
) -> None:
    """One answer after the other, for ever; `heard` is set with the first word."""
    loop = asyncio.get_running_loop()
    while not tally.failures:
        start = session.StartAttempt(attempt_id=str(next(names)), spec=asked)
        try:
            with sessions.to(address).attempt(start) as attempt:
                whole = False
                while not whole:
                    events = await attempt.events(now=loop.time)
                    heard.set()
                    tally.count(events)
                    whole = events[-1].HasField("finished")
        except Failure as failure:
            tally.failures.append(f"{failure.reason_name}: {failure.message}")
            heard.set()


async def run(address: str, model: str, streams: int, *, echo: bool) -> None:
    """Begin the streams, say when each has been heard of, obey the parent."""
    tally, names, asked = Tally(), itertools.count(), spec(model, echo=echo)
    async with open_sessions(idle_seconds=60, slow_reader_seconds=60) as sessions, asyncio.TaskGroup() as tasks:
        running = []
        for _ in range(streams):
            heard = asyncio.Event()
            running.append(tasks.create_task(stream(sessions, address, asked, names, tally, heard)))
            await heard.wait()
        async for command in commands():
            if command == "begin":
                tally.begin()
            answer(tally.report())
        for task in running:
            task.cancel()


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attempts")
    parser.add_argument("--address", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--echo", action="store_true", help="the worker is an echo worker")
    arguments = parser.parse_args()
    uvloop.run(run(arguments.address, arguments.model, arguments.streams, echo=arguments.echo))


if __name__ == "__main__":
    main()
