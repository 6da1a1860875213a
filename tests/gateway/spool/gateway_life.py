"""`python -m tests.gateway.spool.gateway_life DIRECTORY SEED ROUNDS`: lives of a gateway's accounting, each killed.

Each life is a process of its own that takes over what the one before left, and then begins, goes on with and ends
requests, over the real recorder, spool and open requests. It says on standard output what a caller would have seen. The
last life is not killed: it takes over, and ends.
"""

import asyncio
import os
import pathlib
import random
import signal
import sys
import time

from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.router.v1 import placement_pb2 as placement
from prometheus_client import CollectorRegistry

from services.chassis import ids
from services.chassis.deadline import Deadline
from services.chassis.failure import Failure
from services.gateway.call import Call
from services.gateway.entry import Entry
from services.gateway.identity.grant import Grant
from services.gateway.pricing.book import PriceBook
from services.gateway.recorder import Recorder
from services.gateway.run import Run
from services.gateway.spool.spool import open_spool
from services.gateway.spool.writer import WritePolicy
from tests.fakes import delta, spec
from tests.gateway.recording import open_recorder
from tests.gateway.scene import CONFIG

AT_ONCE = 12
BEGUN, ENDED = b"b", b"e"
# Small segments, so that lives also end while one is closed and another begun.
POLICY = WritePolicy(group_seconds=0.002, segment_bytes=20_000)
FAILED = Failure(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE, "no")


class Life:
    """One process."""

    def __init__(self, recorder: Recorder, rng: random.Random, tells: int) -> None:
        self._recorder = recorder
        self._rng = rng
        self._tells: int | None = tells  # None once it was told of an end

    async def requests(self) -> None:
        """One after the other, for ever."""
        while True:
            await self._request(strict=self._rng.random() < 0.5)

    async def _request(self, *, strict: bool) -> None:
        rng, recorder = self._rng, self._recorder
        call = Call(
            spec=spec("x"),
            api="inference",
            streamed=True,
            deadline=Deadline.after(None, now=0.0),
            grant=Grant("0123456789abcdef", "o", strict=strict),
        )
        entry = recorder.begin(ids.new_id(), call)
        say("accepted", entry.generation_id)
        run = self._begun(entry)
        if rng.random() < 0.2:
            recorder.attempt_ended(entry, run, FAILED)
            recorder.attempt_left(entry, run.record)
            await asyncio.sleep(0)
            run = self._begun(entry)
        run.has_content()
        for _ in range(rng.choice((0, 1, 3, 60))):  # the last is more than a slot holds
            run.count([delta("x")] * 64)
            recorder.attempt_goes_on(entry, run.record, run.usage, run.first_content_at)
            await asyncio.sleep(0)
        failure = FAILED if rng.random() < 0.3 else None
        entry.usage = run.usage = generation.Usage(input_tokens=7, output_tokens=1)
        run.finished = failure is None
        run.ends(asyncio.get_running_loop().time())
        recorder.attempt_ended(entry, run, failure)
        recorder.end(entry, failure)
        if strict:
            await recorder.durable()
            assert entry.request is not None
            say("ended", entry.generation_id, ledger.Outcome.Name(entry.request.outcome))
            if self._tells is not None:
                os.write(self._tells, ENDED)
                self._tells = None

    def _begun(self, entry: Entry) -> Run:
        placed = placement.Placement(attempt_id=ids.new_id(), provider="p", worker="w0", provider_model="m")
        record = self._recorder.attempt_begins(entry, placed)
        return Run(placed, asyncio.get_running_loop().time(), record)


def say(*words: str) -> None:
    """A line, written at once."""
    os.write(1, (" ".join(words) + "\n").encode())


async def live(directory: pathlib.Path, rng: random.Random, book: PriceBook, tells: int | None) -> None:
    """One life, from taking over on.

    `tells` is told when requests begin, and when a strict caller has first seen an end. Without it none begin, and the
    life ends.
    """
    async with (
        open_spool(directory, registry=CollectorRegistry(), policy=POLICY) as spool,
        open_recorder(spool, book) as recorder,
    ):
        recorder.take_over()
        if tells is not None:
            os.write(tells, BEGUN)
            life = Life(recorder, rng, tells)
            await asyncio.gather(*(life.requests() for _ in range(AT_ONCE)))


def main() -> None:
    """Live and be killed, round after round."""
    directory, seed, rounds = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    rng, book = random.Random(seed), PriceBook(CONFIG)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - logs, for as long as there are lives
    for number in range(rounds):
        hears, tells = os.pipe()
        of_life, early, seconds = random.Random(rng.random()), rng.random() < 0.2, rng.uniform(0.0, 0.04)
        child = os.fork()
        if child == 0:
            asyncio.run(live(directory, of_life, book, tells))
        os.close(tells)
        if number % 3 == 0:  # some have got somewhere, however slow the disk is
            while os.read(hears, 1) == BEGUN:
                pass
        elif not early:  # some are killed while they take over
            os.read(hears, 1)
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(hears)
    asyncio.run(live(directory, rng, book, None))


if __name__ == "__main__":
    main()
