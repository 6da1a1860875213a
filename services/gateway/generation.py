"""A generation from ask to outcome: its events, from whichever worker serves it."""

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.worker.v1 import session_pb2 as session

from services.chassis.deadline import to_seconds
from services.chassis.failure import Failure
from services.gateway.attempt import Attempt
from services.gateway.placement import Placements
from services.gateway.recorder import Entry, Recorder
from services.gateway.run import Run
from services.gateway.session import Sessions
from services.gateway.undertaking import LEFT, Undertaking, deadline_passed

Events = list[generation.GenerationEvent]


class Generation(Undertaking):
    """One accepted request. Its `events` must be run to their end or closed: that is when it is recorded."""

    def __init__(
        self,
        entry: Entry,
        placements: Placements,
        sessions: Sessions,
        recorder: Recorder,
        left: Callable[[], None],
        *,
        show_worker: bool,
    ) -> None:
        super().__init__(entry, placements, recorder, left, show_worker=show_worker)
        self._sessions = sessions

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
                    placed = await self._elsewhere(run, failure)

    @contextlib.contextmanager
    def _attempt(self, run: Run) -> Iterator[Attempt]:
        with self._sessions.to(run.placed.address).attempt(self._start(run)) as attempt, self._bounded(attempt):
            try:
                yield attempt
            except LEFT:
                # A reader that does not read is made to go away; the reason is the attempt's.
                self._gone = attempt.failure or self._gone
                raise
            finally:
                run.tries = attempt.tries

    async def _next(self, attempt: Attempt, run: Run) -> Events:
        """What to pass on next: never only that an attempt has begun, since it may still be replaced."""
        ready = await attempt.events(now=self._loop.time)
        while not self._committed and ready[-1].HasField("started"):
            ready += await attempt.events(now=self._loop.time)
        whole = ready[-1].HasField("finished")
        if whole:
            _require_reasons(ready[-1].finished)
        if not self._committed:
            if ready[0].HasField("started"):
                self._entry.provider_model = ready[0].started.provider_model
                self.dropped = tuple(ready[0].started.dropped_fields)
            self._commit(run)
        run.count(ready)
        if whole:
            self._finish(run, ready[-1].finished.usage)
            self._entry.finish_reasons = tuple(ready[-1].finished.reasons)
        return ready

    def _start(self, run: Run) -> session.StartAttempt:
        start = session.StartAttempt(
            attempt_id=run.placed.attempt_id,
            spec=self.call.spec,
            traceparent=self.call.traceparent,
            generation_id=self.id,
            tenant=self.call.tenant,
            drop_unsupported=run.placed.drop_unsupported,
            time_left=self._time_for_worker(),
            prefix_hashes=self._entry.prefix_hashes,
        )
        start.spec.model = run.placed.provider_model
        return start

    @contextlib.contextmanager
    def _bounded(self, attempt: Attempt) -> Iterator[None]:
        """Fail the attempt at the deadline."""
        at = self.call.deadline.at
        if at is None:
            yield
            return
        timer = self._loop.call_at(at, attempt.fail, deadline_passed())
        try:
            yield
        finally:
            timer.cancel()


def _require_reasons(finished: generation.Finished) -> None:
    """An end that does not say how each choice ended is none: a face could not tell it from a cut answer."""
    if not finished.reasons or generation.FINISH_REASON_UNSPECIFIED in finished.reasons:
        raise Failure(reasons.ERROR_REASON_TRUNCATED, "The worker did not say how the answer ended.")
