"""A gateway's accounting alone: `python -m benchmarks.accounting DIRECTORY LOG_LEVEL`, a child of `benchmarks.ledger`.

The gateway's own recorder and spool, on a real disk, without a network: a request is begun, placed, answered and
ended, at an even pace, and its record is written and synced by the spool's thread meanwhile.
"""

import asyncio
import contextlib
import os
import pathlib
import random
import sys
import time
from collections.abc import AsyncIterator

from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.router.v1 import placement_pb2 as placement
from prometheus_client import CollectorRegistry

from benchmarks.child import answer, commands
from benchmarks.records import decision
from services.chassis import ids, logs
from services.chassis.deadline import Deadline
from services.config.mesh import MeshConfig
from services.gateway.call import Call
from services.gateway.content.hashing import Hasher
from services.gateway.content.keeping import open_contents
from services.gateway.identity.grant import Grant
from services.gateway.pricing.book import PriceBook
from services.gateway.recorder import Recorder
from services.gateway.request_metrics import RequestMetrics
from services.gateway.run import Run
from services.gateway.spool.spool import open_spool

_TICK_SECONDS = 0.005
_BLOCKS = 16
_CONFIG = {
    "access": {"keyless": True},
    "providers": {"local": {"kind": "echo", "models": ["pm"]}},
    "models": [{"name": "m", "routes": [{"provider": "local", "price": {"input": 0.15, "output": 0.6}}]}],
}


class Accounting:
    """What a gateway does for the ledger, for one request after the other."""

    def __init__(self, recorder: Recorder) -> None:
        chance = random.Random(1)
        spec = generation.GenerationSpec(model="m", user="user-1")
        self._recorder = recorder
        self._call = Call(
            spec=spec,
            api="openai",
            streamed=True,
            deadline=Deadline.after(None, now=0.0),
            grant=Grant(key_id="0123456789abcdef", owner="search"),
            edge_request_id=ids.new_id(),
            traceparent=f"00-{chance.getrandbits(128):032x}-{chance.getrandbits(64):016x}-01",
        )
        self._ask = placement.PlacementAsk(
            input_tokens=900,
            max_output_tokens=512,
            prefix_hashes=[chance.getrandbits(64) for _ in range(_BLOCKS)],
        )
        self._placed = placement.Placement(
            provider="local", worker="local-0", provider_model="pm", strategy="adaptive", decision=decision(chance)
        )
        self._usage = generation.Usage(input_tokens=900, output_tokens=200, cached_tokens=450)

    def one(self, generation_id: str, attempt_id: str) -> None:
        """A request that is answered by its first attempt."""
        recorder, placed = self._recorder, self._placed
        entry = recorder.begin(generation_id, self._call)
        entry.asked(self._ask)
        placed.attempt_id = attempt_id
        run = Run(placed, 1.0, recorder.attempt_begins(entry, placed))
        run.has_content()
        entry.first_content_at = run.first_content_at
        entry.usage = run.usage = self._usage
        run.ends(1.8)
        recorder.attempt_ended(entry, run, None)
        entry.finish_reasons = (generation.FINISH_REASON_STOP,)
        recorder.end(entry, None)


@contextlib.asynccontextmanager
async def accounting(directory: pathlib.Path) -> AsyncIterator[Accounting]:
    """A gateway's recorder with a spool in that directory."""
    registry, config = CollectorRegistry(), MeshConfig.model_validate(_CONFIG)
    async with (
        open_spool(directory, registry=registry) as spool,
        open_contents(spool, Hasher(b"k" * 32), registry) as contents,
    ):
        yield Accounting(
            Recorder(
                spool,
                RequestMetrics(registry),
                contents,
                run=ids.new_id(),
                config_version=config.version,
                models=config.names(),
                book=PriceBook(config),
            )
        )


async def _paced(made: Accounting | None, per_second: float, seconds: float) -> tuple[int, int]:
    """So many a second for so long, or the pace alone. How many, and this process's CPU in ns, all threads."""
    # Ids are made elsewhere: of requests where they come in, of attempts by the router.
    waiting = [(ids.new_id(), ids.new_id()) for _ in range(int(per_second * seconds))]
    count, begun, used = len(waiting), time.perf_counter(), time.process_time_ns()
    while (passed := time.perf_counter() - begun) < seconds:
        while made is not None and count - len(waiting) < int(passed * per_second):
            made.one(*waiting.pop())
        await asyncio.sleep(_TICK_SECONDS)
    return count - len(waiting), time.process_time_ns() - used


async def serve(directory: pathlib.Path) -> None:
    """Measure when told to, `PER_SECOND SECONDS` a line; 0 is the pace without requests."""
    async with accounting(directory) as made:
        async for line in commands():
            per_second, seconds = map(float, line.split())
            count, ns = await _paced(made if per_second else None, per_second, seconds)
            answer({"requests": count, "ns": ns})


def main() -> None:
    """Run until standard input ends."""
    # To nowhere, but written: a line for each request is part of what a gateway does, where its log is at `info`.
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
    logs.configure("gateway", level=sys.argv[2])
    asyncio.run(serve(pathlib.Path(sys.argv[1])))


if __name__ == "__main__":
    main()
