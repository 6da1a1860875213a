"""What every accepted request goes through, whatever it asks for: placed, reported, tried elsewhere, recorded."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.protobuf import duration_pb2
from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis import status
from services.chassis.deadline import to_duration
from services.chassis.failure import Failure
from services.gateway.ask import placement_ask
from services.gateway.call import Call
from services.gateway.placement import Placements, Refused
from services.gateway.recorder import Entry, Recorder
from services.gateway.run import Run
from services.inference.capabilities import needs_of
from services.inference.refusal import name_field

# Failures after which nobody waits for another attempt.
_FINAL = (
    reasons.ERROR_REASON_CANCELLED,
    reasons.ERROR_REASON_DEADLINE_EXCEEDED,
    reasons.ERROR_REASON_STREAM_INTERRUPTED,
)
# A worker's time ends so much before the caller's: its last word says what it asked in vain, and is still heard.
_LAST_WORD_SECONDS = 0.02
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
        self._committed = False
        self._finished = False
        self._gone = Failure(reasons.ERROR_REASON_CANCELLED, "The caller went away.")
        self._loop = asyncio.get_running_loop()
        self._begun_at = self._loop.time()

    @property
    def provider_model(self) -> str:
        """The provider's name of the model that serves it; "" before it is placed."""
        return self._entry.provider_model or (self._entry.attempts[-1].provider_model if self._entry.attempts else "")

    def route(self) -> inference.Route:
        """How it is served, as far as that is known by now; empty before it is placed."""
        if not self._entry.attempts:
            return inference.Route()
        latest = self._entry.attempts[-1]
        return inference.Route(
            provider=latest.provider,
            attempts=latest.number,
            queue_time=to_duration(self._queue_seconds),
            worker=latest.worker if self._show_worker else "",
        )

    @contextlib.contextmanager
    def _recorded(self) -> Iterator[None]:
        """Record the request at its end."""
        failure: Failure | None = _CRASHED
        try:
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
            self._recorder.end(self._entry, failure)

    def _why_left(self, *, finished: bool) -> Failure | None:
        """Why a reader left. One that hangs up on the last event, before its write is known to be done, had it all."""
        return None if finished and self._gone.reason == reasons.ERROR_REASON_CANCELLED else self._gone

    async def _place(self) -> placement.Placement:
        """Where the first attempt goes."""
        needs = needs_of(self.call.spec)
        ask = placement_ask(self.id, self.call, needs, self._time_left())
        self._entry.asked(ask)
        try:
            return await self._placements.place(ask, self.call.deadline)
        except Failure as refusal:
            name_field(refusal, needs)
            if isinstance(refusal, Refused) and refusal.decision.targets:
                self._entry.refused_by = refusal.decision
            raise

    async def _elsewhere(self, run: Run, failure: Failure) -> placement.Placement:
        """Where the next attempt goes after one that failed.

        Raises:
            Failure: why there is none.
        """
        if self._committed or failure.reason in _FINAL:
            raise failure
        outcome = self._outcome(run, failure, wanted=True)
        return await self._placements.after_failure(run.placed, outcome, failure, self.call.deadline)

    def _begin(self, placed: placement.Placement) -> Run:
        run = Run(placed, self._loop.time())
        self._queue_seconds = run.begun_at - self._begun_at
        self._entry.attempt_begins(placed)
        return run

    @contextlib.contextmanager
    def _reported(self, run: Run) -> Iterator[None]:
        """Record an attempt at its end, and tell the router, unless another is to follow."""
        failure: Failure | None = _CRASHED
        left = False
        try:
            yield
            failure = None
        except Failure as why:
            failure = self._as_told(why)
            raise failure from why
        except LEFT:
            failure, left = self._why_left(finished=run.finished), True
            raise
        finally:
            if self._entry.usage is None:
                self._entry.usage = run.usage  # counted, where the worker did not get to tell
            self._recorder.attempt_ended(self._entry, failure, run.usage, run.first_content_at, run.tries)
            if left or failure is None or failure is _CRASHED or self._committed or failure.reason in _FINAL:
                self._placements.ended(self._outcome(run, failure, wanted=False))

    def _as_told(self, failure: Failure) -> Failure:
        """What an attempt's failure is called from here on."""
        left = self._time_left()
        late = failure.reason == reasons.ERROR_REASON_DEADLINE_EXCEEDED
        if late and left is not None and left <= 2 * _LAST_WORD_SECONDS:  # timers are a millisecond out, or two
            return deadline_passed()  # whatever the worker was at: that time is up is not its doing
        return _interrupted(failure) if self._committed else failure

    async def _wait(self, seconds: float) -> None:
        """Backoff, within the deadline."""
        if seconds:
            left = self._time_left()
            await asyncio.sleep(seconds if left is None else min(seconds, left))

    def _commit(self, run: Run) -> None:
        """The first content is there: from here on nothing is tried elsewhere."""
        self._committed = True
        run.first_content_at = self._entry.first_content_at = time.time()
        latency = to_duration(self._loop.time() - run.begun_at)
        self._placements.first_content(placement.FirstContent(attempt_id=run.placed.attempt_id, latency=latency))

    def _finish(self, run: Run, usage: generation.Usage) -> None:
        """The whole answer is there."""
        run.finished = self._finished = True
        run.usage = self._entry.usage = usage

    def _time_left(self) -> float | None:
        return self.call.deadline.left(now=self._loop.time())

    def _time_for_worker(self) -> duration_pb2.Duration | None:
        left = self._time_left()
        return None if left is None else to_duration(max(0.0, left - _LAST_WORD_SECONDS))

    def _outcome(self, run: Run, failure: Failure | None, *, wanted: bool) -> placement.AttemptOutcome:
        outcome = placement.AttemptOutcome(
            attempt_id=run.placed.attempt_id,
            committed=self._committed,
            usage=run.usage,
            duration=to_duration(self._loop.time() - run.begun_at),
            wanted=wanted,
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


def _interrupted(failure: Failure) -> Failure:
    """What a lost worker is called once content has been delivered."""
    if failure.reason != reasons.ERROR_REASON_WORKER_LOST:
        return failure
    return Failure(
        reasons.ERROR_REASON_STREAM_INTERRUPTED,
        "The worker went away in the middle of the answer.",
        retry_after=failure.retry_after,
        metadata=failure.metadata,
    )
