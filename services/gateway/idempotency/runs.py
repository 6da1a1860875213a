"""The runs of named requests: each begun once, followed by every try, and kept for a while."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from prometheus_client import CollectorRegistry

from services.chassis import declared
from services.chassis.failure import Failure
from services.gateway.idempotency import verdict
from services.gateway.idempotency.naming import reused
from services.gateway.idempotency.transcript import Transcript

Work = Callable[[Transcript], Awaitable[None]]

# What it takes to keep an answer beside its bytes: measured, with a few headers.
_KEPT_BYTES = 2048

REQUESTS = declared.Counter(
    "hybrid_gateway_idempotent_requests_total",
    "Requests with an idempotency key: run, joined to a run, given its answer again, or refused.",
    [declared.one_of("result", ("ran", "joined", "replayed", "refused"))],
)
KEPT = declared.Gauge("hybrid_gateway_idempotent_bytes", "Bytes of answers kept for another try.")


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """How long runs go on and answers are kept. How many run at once is for the work to bound, as without a name.

    Attributes:
        keep_seconds: how long a whole answer is there for another try.
        keep_bytes: most bytes of such answers, with what it takes to keep them; the oldest go first.
        run_bytes: most bytes of those and of answers under way, which nobody may be reading; a run without room fails.
        grace_seconds: how long a run goes on with nobody there. SDKs try again within eight seconds, or none.
    """

    keep_seconds: float = 600.0
    keep_bytes: int = 256 << 20
    run_bytes: int = 2 << 30
    grace_seconds: float = 30.0


@dataclasses.dataclass(slots=True, eq=False)
class Run:
    """One run of a named request."""

    fingerprint: bytes
    transcript: Transcript
    followers: int = 0
    task: "asyncio.Task[None] | None" = None
    timer: asyncio.TimerHandle | None = None


class Runs:
    """All of a gateway, by what stands for their requests."""

    def __init__(self, tasks: asyncio.TaskGroup, registry: CollectorRegistry, policy: Policy) -> None:
        self._tasks = tasks
        self._policy = policy
        self._loop = asyncio.get_running_loop()
        self._running: dict[bytes, Run] = {}
        self._kept: dict[bytes, Run] = {}  # in the order in which they ended
        self._kept_bytes = 0
        self._run_bytes = 0
        self._requests = REQUESTS.on(registry)
        KEPT.on(registry).set_function(lambda: self._kept_bytes)

    @contextlib.contextmanager
    def following(self, identity: bytes, fingerprint: bytes, work: Work) -> Iterator[tuple[Transcript, bool]]:
        """The transcript of the one run of a request, begun by `work` where there is none, and whether there was one.

        Raises:
            Failure: SPEC_INVALID where the name stands for another request.
        """
        run = self._running.get(identity) or self._kept.get(identity)
        if run is None:
            self._requests.labels("ran").inc()
            run, again = self._begun(identity, fingerprint, work), False
        elif run.fingerprint != fingerprint:
            self._requests.labels("refused").inc()
            raise reused()
        else:
            self._requests.labels("replayed" if run.transcript.ended else "joined").inc()
            again = True
        run.followers += 1
        if not run.transcript.ended and run.timer is not None:
            run.timer.cancel()
        try:
            yield run.transcript, again
        finally:
            run.followers -= 1
            if not run.followers and not run.transcript.ended:
                run.timer = self._loop.call_later(self._policy.grace_seconds, self._abandon, identity, run)

    def close(self) -> None:
        """End what runs."""
        for run in self._kept.values():
            if run.timer is not None:
                run.timer.cancel()
        for identity, run in list(self._running.items()):
            self._abandon(identity, run)

    def _begun(self, identity: bytes, fingerprint: bytes, work: Work) -> Run:
        run = self._running[identity] = Run(fingerprint, Transcript(self._more))
        run.task = self._tasks.create_task(self._run(identity, run, work))
        return run

    async def _run(self, identity: bytes, run: Run, work: Work) -> None:
        failure: Exception | None = None
        told = None
        try:
            with verdict.awaited() as told:
                await work(run.transcript)
        except asyncio.CancelledError as cancelled:
            why = cancelled.args[0] if cancelled.args else None
            failure = why if isinstance(why, Failure) else _left()
        except Exception as error:  # noqa: BLE001 (whoever follows raises it, where it is told and logged)
            failure = error
        finally:
            run.task = None
            if run.timer is not None:
                run.timer.cancel()
            run.transcript.end(failure)
            self._run_bytes -= run.transcript.bytes
            if self._running.get(identity) is run:
                del self._running[identity]
                # What failed is run again by the next try: it may fare better, and nobody has paid for a whole answer.
                if failure is None and told is not None and not told.failed:
                    self._keep(identity, run)

    def _more(self, size: int) -> None:
        """Make room for more of an answer that is under way."""
        while self._kept and self._run_bytes + self._kept_bytes + size > self._policy.run_bytes:
            self._forget(next(iter(self._kept)))
        if self._run_bytes + size > self._policy.run_bytes:
            message = "Answers to requests with idempotency keys take all the memory that there is for them."
            raise Failure(reasons.ERROR_REASON_FLEET_SATURATED, message, retry_after=1.0)
        self._run_bytes += size

    def _keep(self, identity: bytes, run: Run) -> None:
        self._kept[identity] = run
        self._kept_bytes += _KEPT_BYTES + run.transcript.bytes
        run.timer = self._loop.call_later(self._policy.keep_seconds, self._forget, identity)
        while self._kept_bytes > self._policy.keep_bytes:
            self._forget(next(iter(self._kept)))

    def _forget(self, identity: bytes) -> None:
        run = self._kept.pop(identity)
        self._kept_bytes -= _KEPT_BYTES + run.transcript.bytes
        if run.timer is not None:
            run.timer.cancel()

    def _abandon(self, identity: bytes, run: Run) -> None:
        """End a run. It may take its time to: who comes meanwhile is given another."""
        if self._running.get(identity) is run:
            del self._running[identity]
        if run.task is not None:
            run.task.cancel()


def _left() -> Failure:
    return Failure(reasons.ERROR_REASON_CANCELLED, "Nobody came back for the answer.")


@contextlib.asynccontextmanager
async def open_runs(registry: CollectorRegistry, policy: Policy | None = None) -> AsyncIterator[Runs]:
    """The runs of a gateway. Leaving the context ends them."""
    async with asyncio.TaskGroup() as tasks:
        runs = Runs(tasks, registry, policy or Policy())
        try:
            yield runs
        finally:
            runs.close()
