"""What every accepted request goes through, whatever it asks for: placed, reported, tried elsewhere, recorded."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis import status
from services.chassis.deadline import to_duration
from services.chassis.failure import Failure
from services.gateway.ask import placement_ask
from services.gateway.call import Call
from services.gateway.entry import Entry
from services.gateway.placement import Placements, Refused
from services.gateway.quota.reservation import Metered
from services.gateway.recorder import Recorder
from services.gateway.run import Run
from services.gateway.starting import LAST_WORD_SECONDS
from services.inference.capabilities import needs_of
from services.inference.refusal import name_field

# Failures after which nobody waits for another attempt.
_FINAL = (
    reasons.ERROR_REASON_CANCELLED,
    reasons.ERROR_REASON_DEADLINE_EXCEEDED,
    reasons.ERROR_REASON_STREAM_INTERRUPTED,
)
# How a reader leaves: the last is a write that nobody takes, ahead of the cancellation.
LEFT = (asyncio.CancelledError, GeneratorExit, grpc.aio.InternalError)
# What is recorded of a request that a fault of ours ended; never raised.
_CRASHED = Failure(reasons.ERROR_REASON_INTERNAL, "The gateway failed to handle the request.")


class Undertaking:
    """One accepted request. What it asks for is done by the class that is made of this one."""

    def __init__(
        self, entry: Entry, placements: Placements, recorder: Recorder, left: Callable[[], None], *, show_worker: bool
    ) -> None:
        self.id = entry.generation_id
        self.dropped: tuple[str, ...] = ()  # fields that the provider does not have; known with the first content
        self._show_worker = show_worker
        self._queue_seconds = 0.0
        self._entry = entry
        self.call: Call[Any] = entry.call
        self._placements = placements
        self._recorder = recorder
        self._left = left
        self._open: list[Run] = []  # attempts that have not ended; two while one is hedged
        self._most: dict[str, int] = {}  # nano-USD that an attempt may cost, where there is a budget
        self._committed = False
        self._finished = False
        self._over = False
        self._failed = ""  # the id of the attempt that failed last, of those that had no other beside them
        self._gone = Failure(reasons.ERROR_REASON_CANCELLED, "The caller went away.")
        self._loop = asyncio.get_running_loop()
        self._begun_at = self._loop.time()

    @property
    def provider_model(self) -> str:
        """The provider's name of the model that serves it; "" before it is placed."""
        return self._entry.provider_model or (self._entry.served.provider_model if self._entry.served else "")

    @property
    def limits(self) -> Metered:
        """Where the limits of its key stand."""
        return self._entry.reservation

    def route(self) -> inference.Route:
        """How it is served, as far as that is known by now; empty before it is placed."""
        served = self._entry.served
        if served is None:
            return inference.Route()
        return inference.Route(
            provider=served.provider,
            attempts=self._entry.tried,
            queue_time=to_duration(self._queue_seconds),
            worker=served.worker if self._show_worker else "",
            cost_nano_usd=self._cost(),
        )

    def _cost(self) -> int | None:
        """What it costs, in nano-USD, once that is final."""
        if not (self._finished or self._over):
            return None
        ends = sum(self._entry.cost(run, None) for run in self._open if run.finished)
        return self._entry.spent + ends

    @contextlib.contextmanager
    def _recorded(self) -> Iterator[None]:
        """Record the request at its end, and end what still runs of it."""
        failure: Failure | None = _CRASHED
        try:
            with self._ended():
                yield
            failure = None
        except Failure as why:
            failure = why
            raise
        except LEFT:
            failure = self._why_left(finished=self._finished)
            raise
        finally:
            self._left()
            self._over = True
            self._recorder.end(self._entry, failure)

    @property
    def _strict(self) -> bool:
        """Whether its end, good or bad, is handed out only once its record is on disk."""
        return self.call.grant.strict

    def _why_left(self, *, finished: bool) -> Failure | None:
        """Why a reader left. One that hangs up on the last event, before its write is known to be done, had it all."""
        return None if finished and self._gone.reason == reasons.ERROR_REASON_CANCELLED else self._gone

    async def _place(self) -> placement.Placement:
        """Where the first attempt goes."""
        needs = needs_of(self.call.spec)
        ask = placement_ask(self.id, self.call, needs, self._time_left())
        self._entry.asked(ask)
        try:
            placed = await self._placements.place(ask, self.call.deadline, self.call.spec.ByteSize)
        except Failure as refusal:
            name_field(refusal, needs)
            if isinstance(refusal, Refused) and refusal.decision.targets:
                self._entry.refused_by = refusal.decision
            raise
        await self._cover(placed)
        return placed

    async def _cover(self, placed: placement.Placement) -> None:
        """Set aside what the request may cost with an attempt there: all before it, those that run, and this one.

        Raises:
            Failure: the key's budget has no room for it. The place is given back.
        """
        reservation, estimates = self._entry.reservation, self._entry.estimates
        if not reservation.priced or estimates is None:
            return
        most = self._most[placed.attempt_id] = estimates.attempt(
            self.call.spec,
            placed.provider,
            placed.provider_model,
            self._time_left(),
            input_tokens=self._entry.so_far.estimated_input_tokens,
        )
        most += self._entry.spent + sum(self._most[run.placed.attempt_id] for run in self._open)
        reservation.shrink(most)
        try:
            await reservation.cover(most)
        except BaseException:
            self._placements.give_back(placed)
            raise

    async def _elsewhere(self, run: Run, why: Failure) -> placement.Placement:
        """Where the next attempt goes after one that failed, which ends here.

        Raises:
            Failure: why there is none.
        """
        failure = self._end(run, self._as_told(why))
        self._failed = run.record.attempt_id
        if not self._goes_on(run, why) and (self._committed or failure.reason in _FINAL):
            self._placements.ended(self._outcome(run, failure, wanted=False))
            raise failure from why
        outcome = self._outcome(run, failure, wanted=True)
        outcome.continuable = self._committed
        placed = await self._placements.after_failure(
            run.placed, outcome, failure, self.call.deadline, self.call.spec.ByteSize
        )
        try:
            await self._cover(placed)
        except Failure as unaffordable:
            raise failure from unaffordable  # without this attempt that is how it ends
        return placed

    def _goes_on(self, run: Run, why: Failure) -> bool:
        """Whether an answer that has begun may be gone on with elsewhere."""
        return False

    def _begin(self, placed: placement.Placement) -> Run:
        # Beside one that runs, or after the one that has failed.
        follows = self._open[-1].record.attempt_id if self._open else self._failed
        run = Run(placed, self._loop.time(), self._recorder.attempt_begins(self._entry, placed, follows=follows))
        if not self._committed:
            self._queue_seconds = run.begun_at - self._begun_at
        self._open.append(run)
        return run

    def _end(self, run: Run, failure: Failure) -> Failure:
        """Record an attempt that has failed. The router is told by whoever knows what is to follow."""
        self._open.remove(run)
        run.close()
        self._close(run, failure)
        self._recorder.attempt_left(self._entry, run.record)
        return failure

    def _close(self, run: Run, failure: Failure | None) -> None:
        """Count and record an attempt that has ended."""
        self._count(run)
        self._stop_clock(run)
        self._recorder.attempt_ended(self._entry, run, failure)

    def _stop_clock(self, run: Run) -> None:
        """It takes no more time; what is past the deadline is ours to bear."""
        now, at = self._loop.time(), self.call.deadline.at
        run.ends(now if at is None else min(now, at))

    @contextlib.contextmanager
    def _ended(self) -> Iterator[None]:
        """At the end, end the attempts that have not ended, and tell the router."""
        failure: Failure | None = _CRASHED
        try:
            yield
            failure = None
        except Failure as why:
            failure = why
            raise
        except LEFT:
            for run in self._open:
                # A reader that does not read is made to go away; the reason is the attempt's.
                self._gone = run.close() or self._gone
            failure = self._why_left(finished=self._finished)
            raise
        finally:
            while self._open:
                run = self._open.pop()
                run.close()
                self._close(run, failure)
                self._placements.ended(self._outcome(run, failure, wanted=False))

    def _as_told(self, failure: Failure) -> Failure:
        """What an attempt's failure is called from here on."""
        left = self._time_left()
        late = failure.reason == reasons.ERROR_REASON_DEADLINE_EXCEEDED
        if late and left is not None and left <= 2 * LAST_WORD_SECONDS:  # timers are a millisecond out, or two
            return deadline_passed()  # whatever the worker was at: that time is up is not its doing
        lost = failure.reason == reasons.ERROR_REASON_WORKER_LOST
        return interrupted(failure) if lost and self._committed else failure

    async def _wait(self, seconds: float) -> None:
        """Backoff, within the deadline."""
        if seconds:
            left = self._time_left()
            await asyncio.sleep(seconds if left is None else min(seconds, left))

    def _commit(self, run: Run) -> None:
        """Content is there: from here on no other attempt begins afresh."""
        run.has_content()
        self._entry.served = run.record
        if not self._committed:
            self._committed = True
            self._entry.first_content_at = run.first_content_at
            self._queue_seconds = run.begun_at - self._begun_at
        latency = to_duration(self._loop.time() - run.begun_at)
        self._placements.first_content(placement.FirstContent(attempt_id=run.placed.attempt_id, latency=latency))

    def _finish(self, run: Run, usage: generation.Usage) -> generation.Usage:
        """The whole answer is there. The tokens of the request: the attempt's, and those that it went on from."""
        earlier = self._entry.usage
        run.finished = self._finished = True
        run.usage = usage
        self._stop_clock(run)
        if earlier is None:
            self._entry.usage = usage
            return usage
        self._entry.usage = total = generation.Usage()
        total.CopyFrom(usage)
        total.output_tokens += earlier.output_tokens
        return total

    def _count(self, run: Run) -> None:
        """Add what was counted of an attempt whose worker did not get to tell."""
        if run.finished or run.usage is None:
            return
        if self._entry.usage is None:
            asked = self._entry.so_far.estimated_input_tokens
            self._entry.usage = generation.Usage(input_tokens=asked, estimated=True)
        self._entry.usage.output_tokens += run.usage.output_tokens

    def _time_left(self) -> float | None:
        return self.call.deadline.left(now=self._loop.time())

    def _outcome(self, run: Run, failure: Failure | None, *, wanted: bool) -> placement.AttemptOutcome:
        outcome = placement.AttemptOutcome(
            attempt_id=run.placed.attempt_id,
            committed=self._committed,
            usage=run.usage,
            duration=to_duration(self._loop.time() - run.begun_at),
            wanted=wanted,
            spent_nano_usd=self._entry.spent,
        )
        if failure is not None:
            outcome.status.CopyFrom(status.to_status(failure))
        left = self._time_left()
        if left is not None:
            outcome.time_left.CopyFrom(to_duration(left))
        return outcome


def deadline_passed() -> Failure:
    """There was not enough time for the whole answer."""
    message = "The deadline passed before the answer was whole."
    return Failure(reasons.ERROR_REASON_DEADLINE_EXCEEDED, message, stage="total")


def interrupted(failure: Failure) -> Failure:
    """What it is called that a worker is lost once content has been delivered."""
    return Failure(
        reasons.ERROR_REASON_STREAM_INTERRUPTED,
        "The worker went away in the middle of the answer.",
        retry_after=failure.retry_after,
        metadata=failure.metadata,
    )
