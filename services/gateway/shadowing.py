"""Shadows: attempts beside a request whose answers nobody sees. Whatever becomes of them changes nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis import status
from services.chassis.deadline import to_duration
from services.chassis.failure import Failure
from services.gateway.entry import Entry
from services.gateway.placement import Placements
from services.gateway.recorder import Recorder
from services.gateway.run import Run
from services.gateway.session import Sessions
from services.gateway.starting import start_attempt
from services.gateway.undertaking import deadline_passed

# Of a request that may take for ever, the shadow may not.
_LONGEST_SECONDS = 600.0
_ENOUGH = Failure(reasons.ERROR_REASON_CANCELLED, "Enough shadows run at this gateway.")
_STOPPED = Failure(reasons.ERROR_REASON_CANCELLED, "The gateway stops.")


class Shadows:
    """The shadows of a gateway, a bounded number at once. One too many is recorded as cancelled, and never begun."""

    def __init__(
        self, tasks: asyncio.TaskGroup, placements: Placements, sessions: Sessions, recorder: Recorder, *, most: int
    ) -> None:
        self._tasks = tasks
        self._placements = placements
        self._sessions = sessions
        self._recorder = recorder
        self.reconfigure(most=most)
        self._running: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def reconfigure(self, *, most: int) -> None:
        """Run so many at once from now on. What runs goes on, though it may be more."""
        self._most = most

    def begin(self, entry: Entry, placed: placement.Placement, *, beside: str) -> None:
        """Begin the shadow of a request, beside the attempt with that id."""
        run = Run(placed, self._loop.time(), self._recorder.attempt_begins(entry, placed, follows=beside))
        if len(self._running) >= self._most:
            self._ended(entry, run, _ENOUGH)
            return
        task = self._tasks.create_task(self._run(entry, run))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def close(self) -> None:
        """End every shadow."""
        for task in self._running:
            task.cancel()

    async def _run(self, entry: Entry, run: Run) -> None:
        failure: Failure | None = _STOPPED
        try:
            async with asyncio.timeout_at(entry.call.deadline.earlier(_LONGEST_SECONDS, now=self._loop.time()).at):
                await self._read(entry, run)
            failure = None
        except Failure as why:
            failure = why
        except TimeoutError:
            failure = deadline_passed()
        finally:
            run.close()
            self._ended(entry, run, failure)

    async def _read(self, entry: Entry, run: Run) -> None:
        """Take the answer, and keep nothing of it."""
        now = self._loop.time
        start = start_attempt(entry, run.placed, entry.call.deadline.left(now=now()))
        run.started = True
        run.attempt = attempt = run.held.enter_context(self._sessions.to(run.placed.address).attempt(start))
        while not run.finished:
            ready = await attempt.events(now=now)
            if run.first_content_at is None and not ready[-1].HasField("started"):
                run.has_content()
                latency = to_duration(now() - run.begun_at)
                report = placement.FirstContent(attempt_id=run.placed.attempt_id, latency=latency)
                self._placements.first_content(report)
            run.count(ready)
            if ready[-1].HasField("finished"):
                run.finished, run.usage = True, ready[-1].finished.usage

    def _ended(self, entry: Entry, run: Run, failure: Failure | None) -> None:
        run.ends(self._loop.time())
        self._recorder.attempt_ended(entry, run, failure)
        self._recorder.shadow_ended(entry, run.record)
        outcome = placement.AttemptOutcome(
            attempt_id=run.placed.attempt_id,
            committed=run.first_content_at is not None,
            usage=run.usage,
            duration=to_duration(self._loop.time() - run.begun_at),
        )
        if failure is not None:
            outcome.status.CopyFrom(status.to_status(failure))
        self._placements.ended(outcome)


@contextlib.asynccontextmanager
async def open_shadows(
    placements: Placements, sessions: Sessions, recorder: Recorder, *, most: int
) -> AsyncIterator[Shadows]:
    """The shadows of a gateway, `most` at once. Leaving the context ends them."""
    async with asyncio.TaskGroup() as tasks:
        shadows = Shadows(tasks, placements, sessions, recorder, most=most)
        try:
            yield shadows
        finally:
            shadows.close()
