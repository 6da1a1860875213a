"""The decision core: the same code in production and wherever else its decisions are to be had.

It knows no clock, no network and no task. Time, chance and ids come from outside; what happens is told by a method
each; what it decides is what the method returns.
"""

import dataclasses
import random
from collections.abc import Callable, Iterable, Sequence

from google.rpc import status_pb2
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.deadline import to_duration, to_seconds
from services.chassis.failure import Failure
from services.config.router import Retry
from services.router import refusals, retries
from services.router.faults import Kind, Verdict, judge, with_retry_after
from services.router.knowledge import learning
from services.router.knowledge.prediction import busyness, learned, predict
from services.router.leases import GatewayStream, Generation, Lease, LeaseBook
from services.router.observer import Observer
from services.router.request import Request
from services.router.retries import Stop
from services.router.roster import Roster
from services.router.target import ROLES, Target


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """There is no attempt, or no further one; `cause` is what to tell the caller."""

    generation_id: str
    cause: Failure | status_pb2.Status


Answer = placement.Placement | Refused


class Decider:
    """Decides where attempts go, and holds their leases."""

    def __init__(
        self,
        roster: Roster,
        settings: Retry,
        *,
        rng: random.Random,
        new_id: Callable[[], str],
        observer: Observer,
    ) -> None:
        self._roster = roster
        self._retry = settings
        self._rng = rng
        self._new_id = new_id
        self._observer = observer
        self._book = LeaseBook()

    @property
    def leases(self) -> int:
        """Number of leases."""
        return len(self._book)

    def on_stream(self, gateway: str, running: Iterable[placement.RunningLease]) -> GatewayStream:
        """A gateway opened a stream and restates the leases that still run."""
        stream = GatewayStream(gateway)
        for restated in running:
            worker = self._roster.known(restated.worker)
            generation = stream.generations.setdefault(
                restated.generation_id, Generation(restated.generation_id, restated.model, attempts=1)
            )
            lease = Lease(restated.attempt_id, generation, worker, stream, worker.epoch, committed=restated.committed)
            self._book.take(lease)
        return stream

    def on_ask(self, stream: GatewayStream, ask: placement.PlacementAsk, now: float) -> Answer:
        """A gateway asks where a generation should go."""
        # Asked for again: what it held, it holds no longer.
        self.on_withdrawal(stream, ask.generation_id)
        generation = Generation(ask.generation_id, ask.model)
        pool = self._roster.pools.get(ask.model)
        if pool is None:
            return self._refuse(generation, refusals.model_not_found(ask.model, self._roster.pools))
        if ask.HasField("time_left"):
            generation.ends_at = now + to_seconds(ask.time_left)
            if generation.ends_at <= now:
                return self._refuse(generation, refusals.deadline_exceeded())
        pool.budget.on_request(now)
        request = generation.request = Request.of(ask, pool)
        targets, _ = pool.eligible(request, (), now=now, later=now)
        if not targets:
            return self._refuse(generation, refusals.not_placed(request, now))
        stream.generations[generation.id] = generation
        return self._place(stream, generation, request, targets, now)

    def on_first_content(self, stream: GatewayStream, report: placement.FirstContent, now: float) -> None:
        """An attempt has begun to answer."""
        lease = stream.leases.get(report.attempt_id)
        if lease is None:
            return
        lease.committed = True
        seconds = to_seconds(report.latency)
        self._roster.on_first_content(lease, seconds, now)
        self._observer.first_content(lease.worker.name, seconds)

    def on_outcome(self, stream: GatewayStream, outcome: placement.AttemptOutcome, now: float) -> Answer | None:
        """An attempt ended. Answered only where the gateway still wants another."""
        lease = stream.leases.get(outcome.attempt_id)
        if lease is None:
            return None  # withdrawn, or of a stream that is gone: nobody waits
        verdict = judge(outcome.status)
        learning.on_ended(lease, outcome, verdict, now)
        self._roster.on_outcome(lease, verdict, now, self._rng)
        self._book.release(lease)
        self._observer.ended(lease.worker.name, verdict.kind)
        generation = lease.generation
        if verdict.kind is Kind.SUCCESS or outcome.committed or not outcome.wanted:
            stream.generations.pop(generation.id, None)
            return None
        if outcome.HasField("time_left"):
            generation.ends_at = now + to_seconds(outcome.time_left)
        return self._again(lease, outcome.status, verdict, now)

    def on_withdrawal(self, stream: GatewayStream, generation_id: str) -> None:
        """A generation's caller has gone away. What it was placed on meanwhile is released."""
        generation = stream.generations.pop(generation_id, None)
        if generation is not None:
            for attempt_id in list(generation.held):
                self._drop(stream.leases[attempt_id])

    def on_stream_end(self, stream: GatewayStream) -> None:
        """A gateway's stream ended, and with it every lease on it. Saying so twice changes nothing."""
        for lease in list(stream.leases.values()):
            self._drop(lease)
        stream.generations.clear()

    def _place(
        self,
        stream: GatewayStream,
        generation: Generation,
        request: Request,
        targets: Sequence[Target],
        now: float,
    ) -> placement.Placement:
        pool = request.pool
        pool.look_up(request)
        target = pool.choose(request, targets, now, self._rng)
        worker = target.worker
        expected = predict(request, target, now).first_content_seconds
        lease = Lease(
            self._new_id(),
            generation,
            worker,
            stream,
            worker.epoch,
            target,
            placed_at=now,
            uncached_tokens=request.uncached_tokens(target.position),
            expected_seconds=expected,
            running_then=target.load,
            waiting_then=worker.waiting_tokens,
            busy_then=busyness(worker),
            probe=worker.breaker.on_placed(now),
        )
        generation.attempts += 1
        generation.tried.add(worker.name)
        self._book.take(lease)
        pool.on_placed(request, target, now)
        self._observer.placed(pool.strategy.name, worker.name, generation.attempts)
        return placement.Placement(
            generation_id=generation.id,
            attempt_id=lease.attempt_id,
            number=generation.attempts,
            worker=worker.name,
            address=worker.place.address,
            provider=worker.place.provider,
            provider_model=target.provider_model,
            strategy=pool.strategy.name,
            drop_unsupported=target.drops,
            role=ROLES[target.role],
            max_cost_nano_usd=round(target.most_cost(request)),
            expected_first_content=to_duration(expected) if learned(request, target) else None,
        )

    def _again(self, failed: Lease, status: status_pb2.Status, verdict: Verdict, now: float) -> Answer:
        """Another attempt, or the status of the one that failed: the caller should see the real reason."""
        generation, settings = failed.generation, self._retry
        attempts, request = generation.attempts, generation.request
        stop = retries.hopeless(verdict, committed=failed.committed, attempts=attempts, settings=settings)
        if stop is not None:
            return self._give_up(failed, status, verdict, stop, now)
        if request is None:
            return self._give_up(failed, status, verdict, Stop.UNKNOWN_REQUEST, now)
        pool, pause = request.pool, retries.backoff(attempts, settings, self._rng)
        targets, at = pool.eligible(request, generation.tried, now=now, later=now + pause)
        if not targets:
            return self._give_up(failed, status, verdict, Stop.NO_WORKER, now)
        wait = retries.delay(targets, at=at, now=now, pause=pause)
        if retries.too_late(wait, now=now, ends_at=generation.ends_at):
            return self._give_up(failed, status, verdict, Stop.DEADLINE, now)
        if not pool.budget.take(now):
            return self._give_up(failed, status, verdict, Stop.BUDGET, now)
        answer = self._place(failed.stream, generation, request, targets, now)
        if wait:
            answer.delay.CopyFrom(to_duration(wait))
        return answer

    def _give_up(self, failed: Lease, status: status_pb2.Status, verdict: Verdict, stop: Stop, now: float) -> Refused:
        generation = failed.generation
        failed.stream.generations.pop(generation.id, None)
        self._observer.refused(generation.model, verdict.reason, generation.id, stop)
        if not verdict.retryable or failed.committed:
            return Refused(generation.id, status)
        workers = generation.request.pool.workers.values() if generation.request else ()
        return Refused(generation.id, with_retry_after(status, refusals.retry_after(workers, now)))

    def _refuse(self, generation: Generation, failure: Failure) -> Refused:
        self._observer.refused(generation.model, failure.reason_name, generation.id, None)
        return Refused(generation.id, failure)

    def _drop(self, lease: Lease) -> None:
        """Release a lease whose attempt ended unseen."""
        self._roster.on_vanished(lease)
        self._book.release(lease)
