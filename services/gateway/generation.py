"""A generation from ask to outcome: placed, attempted, tried elsewhere before its first content, recorded."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterator

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.router.v1 import placement_pb2 as placement
from hybridinference.worker.v1 import session_pb2 as session

from services.chassis import status
from services.chassis.deadline import Deadline, to_duration, to_seconds
from services.chassis.failure import Failure
from services.gateway.ask import placement_ask
from services.gateway.attempt import Attempt
from services.gateway.placement import Placements
from services.gateway.recorder import Entry, Recorder
from services.gateway.session import Sessions

Events = list[generation.GenerationEvent]


class Generation:
    """One accepted request. Its `events` must be run to their end or closed: that is when it is recorded."""

    def __init__(
        self, entry: Entry, placements: Placements, sessions: Sessions, recorder: Recorder, left: Callable[[], None]
    ) -> None:
        self.id = entry.generation_id
        self.provider = ""
        self.attempts = 0
        self.queue_seconds = 0.0
        self._entry = entry
        self._placements = placements
        self._sessions = sessions
        self._recorder = recorder
        self._left = left
        self._committed = False
        self._finished = False
        self._gone = Failure(reasons.ERROR_REASON_CANCELLED, "The caller went away.")
        self._loop = asyncio.get_running_loop()
        self._begun_at = self._loop.time()

    async def events(self) -> AsyncGenerator[Events, None]:
        """The events, in lists of what is ready at one moment. The first list holds content or the end.

        Raises:
            Failure: why there is no answer, or no whole one.
        """
        # One generator and no more: each list would pass every generator that this one stood in.
        with self._recorded():
            placed = await self._place()
            while True:
                run = self._begin(placed)
                try:
                    with self._reported(run):
                        await self._wait(to_seconds(placed.delay))
                        with self._attempt(run) as attempt:
                            while not run.finished:
                                yield await self._next(attempt, run)
                    return
                except Failure as failure:
                    if self._committed or failure.reason in _FINAL:
                        raise
                    outcome = self._outcome(run, failure, wanted=True)
                    placed = await self._placements.after_failure(placed, outcome, failure, self._entry.call.deadline)

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
        except (asyncio.CancelledError, GeneratorExit):
            failure = self._why_left(finished=self._finished)
            raise
        finally:
            self._left()
            self._recorder.end(self._entry, failure)

    def _why_left(self, *, finished: bool) -> Failure | None:
        """Why a reader left. One that hangs up on the last event, before its write is known to be done, had it all."""
        return None if finished and self._gone.reason == reasons.ERROR_REASON_CANCELLED else self._gone

    async def _place(self) -> placement.Placement:
        call = self._entry.call
        ask = placement_ask(self.id, call.spec, call.deadline.left(now=self._loop.time()))
        return await self._placements.place(ask, call.deadline)

    def _begin(self, placed: placement.Placement) -> "_Run":
        run = _Run(placed, self._loop.time())
        self.provider, self.attempts = placed.provider, self.attempts + 1
        self.queue_seconds = run.begun_at - self._begun_at
        self._entry.attempt_begins(placed)
        return run

    @contextlib.contextmanager
    def _reported(self, run: "_Run") -> Iterator[None]:
        """Record an attempt at its end, and tell the router, unless another is to follow."""
        failure: Failure | None = _CRASHED
        try:
            yield
            failure = None
        except Failure as why:
            failure = _interrupted(why) if self._committed else why
            raise failure from why
        except (asyncio.CancelledError, GeneratorExit):
            failure = self._why_left(finished=run.finished)
            raise
        finally:
            if self._entry.usage is None:
                self._entry.usage = run.usage  # counted, where the worker did not get to tell
            self._recorder.attempt_ended(self._entry, failure, run.usage, run.first_content_at)
            final = failure is None or failure is _CRASHED or self._committed or failure.reason in _FINAL
            if final:
                self._placements.ended(self._outcome(run, failure, wanted=False))

    @contextlib.contextmanager
    def _attempt(self, run: "_Run") -> Iterator[Attempt]:
        with self._sessions.to(run.placed.address).attempt(self._start(run)) as attempt, self._bounded(attempt):
            try:
                yield attempt
            finally:
                # A reader that does not read is made to go away; the reason is the attempt's.
                self._gone = attempt.failure or self._gone

    async def _next(self, attempt: Attempt, run: "_Run") -> Events:
        """What to pass on next: never only that an attempt has begun, since it may still be replaced."""
        ready = await attempt.events(now=self._loop.time)
        while not self._committed and ready[-1].HasField("started"):
            ready += await attempt.events(now=self._loop.time)
        whole = ready[-1].HasField("finished")
        if whole:
            _require_reasons(ready[-1].finished)
        if not self._committed:
            self._commit(ready, run)
        run.count(ready)
        if whole:
            self._finish(ready[-1].finished, run)
        return ready

    def _commit(self, held: Events, run: "_Run") -> None:
        self._committed = True
        if held[0].HasField("started"):
            self._entry.provider_model = held[0].started.provider_model
        run.first_content_at = self._entry.first_content_at = time.time()
        latency = to_duration(self._loop.time() - run.begun_at)
        self._placements.first_content(placement.FirstContent(attempt_id=run.placed.attempt_id, latency=latency))

    def _finish(self, finished: generation.Finished, run: "_Run") -> None:
        run.finished = self._finished = True
        run.usage = self._entry.usage = finished.usage
        self._entry.finish_reasons = tuple(finished.reasons)

    def _start(self, run: "_Run") -> session.StartAttempt:
        call = self._entry.call
        start = session.StartAttempt(
            attempt_id=run.placed.attempt_id,
            spec=call.spec,
            traceparent=call.traceparent,
            generation_id=self.id,
        )
        start.spec.model = run.placed.provider_model
        left = call.deadline.left(now=self._loop.time())
        if left is not None:
            start.time_left.CopyFrom(to_duration(left))
        return start

    async def _wait(self, seconds: float) -> None:
        """Backoff, within the deadline."""
        if seconds:
            left = self._entry.call.deadline.left(now=self._loop.time())
            await asyncio.sleep(seconds if left is None else min(seconds, left))

    @contextlib.contextmanager
    def _bounded(self, attempt: Attempt) -> Iterator[None]:
        """Fail the attempt at the deadline."""
        deadline: Deadline = self._entry.call.deadline
        if deadline.at is None:
            yield
            return
        late = Failure(
            reasons.ERROR_REASON_DEADLINE_EXCEEDED, "The deadline passed before the answer was whole.", stage="total"
        )
        timer = self._loop.call_at(deadline.at, attempt.fail, late)
        try:
            yield
        finally:
            timer.cancel()

    def _outcome(self, run: "_Run", failure: Failure | None, *, wanted: bool) -> placement.AttemptOutcome:
        now = self._loop.time()
        outcome = placement.AttemptOutcome(
            attempt_id=run.placed.attempt_id,
            committed=self._committed,
            usage=run.usage,
            duration=to_duration(now - run.begun_at),
            wanted=wanted,
        )
        if failure is not None:
            outcome.status.CopyFrom(status.to_status(failure))
        left = self._entry.call.deadline.left(now=now)
        if left is not None:
            outcome.time_left.CopyFrom(to_duration(left))
        return outcome


# Failures after which nobody waits for another attempt.
_FINAL = (
    reasons.ERROR_REASON_CANCELLED,
    reasons.ERROR_REASON_DEADLINE_EXCEEDED,
    reasons.ERROR_REASON_STREAM_INTERRUPTED,
)
# What is recorded of a request that a fault of ours ended; never raised.
_CRASHED = Failure(reasons.ERROR_REASON_INTERNAL, "The gateway failed to handle the request.")


class _Run:
    """One attempt's placement, beginning and use."""

    def __init__(self, placed: placement.Placement, begun_at: float) -> None:
        self.placed = placed
        self.begun_at = begun_at
        self.first_content_at: float | None = None
        self.usage: generation.Usage | None = None
        self.finished = False

    def count(self, ready: Events) -> None:
        """Count tokens as they pass, for attempts that end without telling."""
        tokens = sum([event.delta.tokens for event in ready])  # 0 of an event that is no delta
        if tokens:
            if self.usage is None:
                self.usage = generation.Usage(estimated=True)
            self.usage.output_tokens += tokens


def _require_reasons(finished: generation.Finished) -> None:
    """An end that does not say how each choice ended is none: a face could not tell it from a cut answer."""
    if not finished.reasons or generation.FINISH_REASON_UNSPECIFIED in finished.reasons:
        raise Failure(reasons.ERROR_REASON_TRUNCATED, "The worker did not say how the answer ended.")


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
