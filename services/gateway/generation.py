"""A generation from ask to outcome: its events, from whichever worker serves it."""

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.deadline import to_seconds
from services.chassis.failure import Failure
from services.gateway import hedging
from services.gateway.attempt import Attempt
from services.gateway.continuing import Spoken, of_worker
from services.gateway.entry import Entry
from services.gateway.placement import Placements
from services.gateway.recorder import Recorder
from services.gateway.run import Run
from services.gateway.session import Sessions
from services.gateway.shadowing import Shadows
from services.gateway.starting import start_attempt
from services.gateway.undertaking import Undertaking, deadline_passed, interrupted

Events = list[generation.GenerationEvent]

_CONTINUES = placement.ATTEMPT_KIND_CONTINUATION
# They end a request whatever its attempts are at.
_OF_CALLER = (
    reasons.ERROR_REASON_CANCELLED,
    reasons.ERROR_REASON_DEADLINE_EXCEEDED,
    reasons.ERROR_REASON_SLOW_CONSUMER,
)
_NOT_FIRST = Failure(reasons.ERROR_REASON_CANCELLED, "Another attempt at the request had content first.")


class Generation(Undertaking):
    """One accepted request. Its `events` must be run to their end or closed: that is when it is recorded."""

    def __init__(
        self,
        entry: Entry,
        placements: Placements,
        sessions: Sessions,
        shadows: Shadows,
        recorder: Recorder,
        left: Callable[[], None],
        *,
        show_worker: bool,
    ) -> None:
        super().__init__(entry, placements, recorder, left, show_worker=show_worker)
        self._sessions = sessions
        self._shadows = shadows
        self._spoken = Spoken(self.call.spec)
        self._heard = entry.heard

    async def events(self) -> AsyncGenerator[Events, None]:
        """The events, in lists of what is ready at one moment. The first list holds content or the end.

        Raises:
            Failure: why there is no answer, or no whole one; of a strict key also ACCOUNTING_UNAVAILABLE, in place of
                the end, where its record cannot be written.
        """
        # One generator and no more: each list would pass every generator that this one stood in.
        try:
            with self._recorded():
                placed = await self._place()
                while True:
                    try:
                        run, attempt, ready = await self._first(placed)
                        ready = self._passed(run, ready)
                        while not run.finished:
                            yield ready
                            ready = self._passed(run, await attempt.events(now=self._loop.time))
                        if not self._strict:
                            yield ready
                        break
                    except Failure as failure:
                        (run,) = self._open
                        placed = await self._elsewhere(run, failure)
        except Failure:
            if self._strict:
                await self._recorder.durable()
            raise
        if self._strict:
            await self._recorder.durable()
            yield ready

    async def _first(self, placed: placement.Placement) -> tuple[Run, Attempt, Events]:
        """An attempt with its first content: the placed one, or one beside it. No other is left."""
        run = self._begin(placed)
        if placed.HasField("shadow"):
            self._shadows.begin(self._entry, placed.shadow, beside=run.record.attempt_id)
        await self._wait(to_seconds(placed.delay))
        self._start(run)
        if placed.HasField("hedge_after"):
            run, ready = await hedging.race(self, run, seconds=to_seconds(placed.hedge_after))
            for other in [one for one in self._open if one is not run]:
                self._placements.ended(self._outcome(other, self._end(other, _NOT_FIRST), wanted=False))
        else:
            ready = await self.content(run)
        assert run.attempt is not None, "it was started"
        return run, run.attempt, ready

    async def content(self, run: Run) -> Events:
        """The first events of an attempt: never only that it has begun, since it may still be replaced."""
        assert run.attempt is not None, "it was started"
        ready = await run.attempt.events(now=self._loop.time)
        while ready[-1].HasField("started"):
            ready += await run.attempt.events(now=self._loop.time)
        return ready

    async def ask_beside(self, run: Run) -> placement.Placement | None:
        """Where a second attempt may go beside a slow one."""
        placed = await self._placements.hedge(run.placed, self._time_left(), spent_nano_usd=self._entry.spent)
        if placed is not None:
            try:
                await self._cover(placed)
            except Failure:  # the budget is for those that must be
                return None
        return placed

    def begin_beside(self, placed: placement.Placement) -> Run | None:
        """Begin a second attempt."""
        run = self._begin(placed)
        try:
            self._start(run)
        except Failure as failure:
            self.fallen(run, failure)
            return None
        return run

    def unused(self, placed: placement.Placement) -> None:
        """A second attempt is not begun after all."""
        self._placements.give_back(placed)

    def fallen(self, run: Run, failure: Failure) -> None:
        """One of two attempts has failed; the router leaves the other one as it is."""
        self._placements.ended(self._outcome(run, self._end(run, self._as_told(failure)), wanted=True))
        self._entry.served = self._open[-1].record

    def _passed(self, run: Run, ready: Events) -> Events:
        """What the caller is given of an attempt's events."""
        whole = ready[-1].HasField("finished")
        if whole:
            _require_reasons(ready[-1].finished)
        if run.first_content_at is None:
            if ready[0].HasField("started"):
                if self._committed:  # the caller has had one
                    ready = ready[1:]
                else:
                    self._entry.provider_model = ready[0].started.provider_model
                    self.dropped = tuple(ready[0].started.dropped_fields)
            self._commit(run)
        run.count(ready)
        if not whole and run.counted(now=self._loop.time()):
            self._recorder.attempt_goes_on(self._entry, run.record, run.usage, run.first_content_at)
        self._spoken.hear(ready)
        if self._heard is not None:
            self._heard.hear(ready)
        if whole:
            finished = ready[-1].finished
            self._entry.finish_reasons = tuple(finished.reasons)
            total = self._finish(run, finished.usage)
            if total is not finished.usage:
                whole_answer = generation.GenerationEvent(finished=finished)
                whole_answer.finished.usage.CopyFrom(total)
                ready = [*ready[:-1], whole_answer]
        return ready

    def _start(self, run: Run) -> None:
        """Begin an attempt at its worker, to fail at the deadline."""
        start = start_attempt(self._entry, run.placed, self._time_left())
        if run.placed.kind == _CONTINUES:
            start.continuation.CopyFrom(self._spoken.continuation())
        session = self._sessions.to(run.placed.address)
        run.attempt = run.held.enter_context(session.attempt(start))
        run.started = True
        run.held.enter_context(self._bounded(run.attempt))

    async def _elsewhere(self, run: Run, why: Failure) -> placement.Placement:
        try:
            return await super()._elsewhere(run, why)
        except Failure as failure:
            # Nobody could go on with it. Why that was concerns no caller: the answer broke off before.
            in_vain = run.placed.kind == _CONTINUES and run.first_content_at is None
            if in_vain and failure.reason not in _OF_CALLER:
                raise interrupted(failure) from failure
            raise

    def _goes_on(self, run: Run, why: Failure) -> bool:
        return self._committed and self._spoken.possible and of_worker(why, begun=run.first_content_at is not None)

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
