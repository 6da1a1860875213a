"""The decision core: the same code in production and wherever else its decisions are to be had.

It knows no clock, no network and no task. Time, chance and ids come from outside; what happens is told by a method
each; what it decides is what the method returns.
"""

import dataclasses
import random
from collections.abc import Callable, Iterable, Sequence

from google.rpc import status_pb2
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import routing_pb2 as routing
from hybridinference.router.v1 import placement_pb2 as placement
from hybridinference.router.v1 import router_service_pb2 as router_service

from services.chassis.deadline import to_duration, to_seconds
from services.chassis.failure import Failure
from services.config.mesh import MeshConfig
from services.config.router import Retry
from services.inference.attempts import kind_word
from services.router import continuing, explain, hedging, refusals, restated, retries, shadowing
from services.router.admission import selection
from services.router.admission.lobby import Fate, Lobby
from services.router.admission.selection import Choice
from services.router.admission.waiter import Waiter
from services.router.drains import Drains
from services.router.explain import Explanation
from services.router.faults import Kind, Verdict, judge, with_retry_after
from services.router.knowledge import learning
from services.router.knowledge.prediction import busyness
from services.router.leases import GatewayStream, Generation, Lease, LeaseBook
from services.router.observer import Observer
from services.router.request import Request
from services.router.retries import Stop
from services.router.roster import Roster
from services.router.target import ROLES, Target


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """There is no attempt, or no further one; `cause` is what to tell the caller.

    `attempt_id` is of an attempt that goes on all the same: it was refused a hedge. `decision` is how it came to that.
    """

    generation_id: str
    cause: Failure | status_pb2.Status
    decision: routing.Decision | None = None
    attempt_id: str = ""


# Reasons of those who were refused for want of room or time.
_SHED = (reasons.ERROR_REASON_FLEET_SATURATED, reasons.ERROR_REASON_DEADLINE_EXCEEDED)

Answer = placement.Placement | placement.Waiting | Refused


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
        self._lobby = Lobby(rng, self._on_fate)
        self._released: list[tuple[GatewayStream, Answer]] = []

    @property
    def leases(self) -> int:
        """Number of leases."""
        return len(self._book)

    def reconfigure(self, config: MeshConfig, now: float) -> None:
        """Decide by another configuration from now on.

        What has been placed stays placed. How it ends still counts for its worker, and another attempt goes where the
        new configuration says, if the model is still there. Those that wait go on waiting there, or are refused.
        """
        self._roster.reconfigure(config)
        self._retry = config.router.retry
        for lease in self._book:
            lease.rebind(self._roster.pools)
        self._lobby.move(self._roster.pools, now)

    def on_drains(self, drains: Drains) -> None:
        """Place nothing more on what operators have taken out of service. What has been placed there stays."""
        self._roster.drain(drains)

    def on_stream(self, gateway: str, running: Iterable[placement.RunningLease], now: float = 0.0) -> GatewayStream:
        """A gateway opened a stream and restates the leases that still run. `now` matters only where there are any."""
        stream = GatewayStream(gateway)
        for one in running:
            self._book.take(restated.lease(one, stream, self._roster.pools, self._roster.known, now))
        return stream

    def on_ask(self, stream: GatewayStream, ask: placement.PlacementAsk, now: float) -> Answer:
        """A gateway asks where a generation should go."""
        self._roster.on_time(now)
        # Asked for again: what it held, it holds no longer.
        self.on_withdrawal(stream, ask.generation_id)
        generation = Generation(ask.generation_id, ask.model, ask.traceparent)
        pool = self._roster.pools.get(ask.model)
        if pool is None:
            return self._refuse(generation, refusals.model_not_found(ask.model, self._roster.pools))
        if ask.HasField("time_left"):
            generation.ends_at = now + to_seconds(ask.time_left)
            if generation.ends_at <= now:
                return self._refuse(generation, refusals.deadline_exceeded())
        pool.budget.on_request(now)
        pool.hedges.on_request()
        request = generation.request = Request.of(ask, pool)
        fate = self._lobby.admit(stream, generation, request, now)
        if isinstance(fate, Failure):
            return self._refuse(generation, fate, explain.refused(request))
        stream.generations[generation.id] = generation
        return self._waits(generation, fate) if isinstance(fate, int) else self._place(stream, generation, fate, now)

    def on_explain(self, ask: placement.PlacementAsk, now: float) -> Explanation:
        """Somebody asks what would become of a request now. Nothing does, and nothing changes but by time."""
        self._roster.on_time(now)
        pool = self._roster.pools.get(ask.model)
        if pool is None:
            unknown = refusals.model_not_found(ask.model, self._roster.pools)
            return Explanation(routing.Decision(), router_service.EXPLAINED_FATE_REFUSED, unknown)
        if ask.HasField("time_left") and to_seconds(ask.time_left) <= 0:
            late = refusals.deadline_exceeded()
            return Explanation(routing.Decision(), router_service.EXPLAINED_FATE_REFUSED, late)
        request = Request.of(ask, pool)
        # As chance would have it next.
        chance = random.Random()
        chance.setstate(self._rng.getstate())
        ends_at = now + to_seconds(ask.time_left) if ask.HasField("time_left") else None
        fate = self._lobby.foresee(request, ends_at, now, chance)
        if isinstance(fate, Choice):
            decision = explain.everything(request, fate.targets, fate.target, now)
            return Explanation(decision, router_service.EXPLAINED_FATE_PLACED)
        if isinstance(fate, Failure):
            decision = explain.everything(request, (), None, now)
            return Explanation(decision, router_service.EXPLAINED_FATE_REFUSED, fate)
        decision = explain.everything(request, (), None, now, otherwise=explain.QUEUE)
        return Explanation(decision, router_service.EXPLAINED_FATE_WAITING, ahead=fate)

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
        self._settle(lease, outcome, verdict, now)
        generation = lease.generation
        self._observer.ended(_strategy(generation), lease.worker.name, verdict.kind)
        if generation.request is not None:
            generation.request.has_cost(outcome.spent_nano_usd)
        if generation.held and not lease.committed:
            return None  # another attempt at it runs
        if verdict.kind is Kind.SUCCESS or not outcome.wanted or (outcome.committed and not outcome.continuable):
            if _forget(stream, generation):
                self._observer.finished(generation, lease.worker.name, verdict.kind)
            return None
        if outcome.HasField("time_left"):
            left = to_seconds(outcome.time_left)
            generation.ends_at = now + left
            if generation.request is not None:
                generation.request.seconds = left
        if outcome.committed:
            return self._go_on(lease, outcome.status, verdict, now)
        return self._again(lease, outcome.status, verdict, now)

    def on_hedge(self, stream: GatewayStream, ask: placement.HedgeAsk, now: float) -> Answer:
        """An attempt is slow to begin: a second one beside it, or a refusal that leaves it as it is."""
        lease = stream.leases.get(ask.attempt_id)
        if lease is None:
            return Refused("", refusals.no_hedge(), attempt_id=ask.attempt_id)
        generation, request = lease.generation, lease.generation.request
        refused = Refused(generation.id, refusals.no_hedge(), attempt_id=ask.attempt_id)
        if ask.HasField("time_left"):
            generation.ends_at = now + to_seconds(ask.time_left)
        late = generation.ends_at is not None and generation.ends_at <= now
        if request is None or lease.committed or late or not self._may_hedge(generation):
            return refused
        request.has_cost(ask.spent_nano_usd)
        targets = list(hedging.others(lease, request, generation.tried, request.pool.hedge, now))
        if not targets or not request.pool.hedges.take():
            return refused
        generation.hedged = True
        return self._place(stream, generation, self._one_of(request, targets, now), now, placement.ATTEMPT_KIND_HEDGE)

    def on_withdrawal(self, stream: GatewayStream, generation_id: str) -> None:
        """A generation's caller has gone away. What it was placed on meanwhile is released."""
        generation = stream.generations.pop(generation_id, None)
        if generation is not None:
            self._lobby.leave(generation)
            for attempt_id in list(generation.held):
                self._drop(stream.leases[attempt_id])

    def on_stream_end(self, stream: GatewayStream) -> None:
        """A gateway's stream ended, and with it every lease on it. Saying so twice changes nothing."""
        for generation in stream.generations.values():
            self._lobby.leave(generation)
        for lease in list(stream.leases.values()):
            self._drop(lease)
        stream.generations.clear()

    def released(self, now: float) -> Sequence[tuple[GatewayStream, Answer]]:
        """Answers to those that waited, each with the stream that it belongs to. To be called after whatever happened.

        While nobody waits this costs nothing.
        """
        if not self._lobby.empty:
            self._roster.on_time(now)
            self._lobby.look(self._roster.stirred, now)
        self._roster.stirred.clear()
        if not self._released:
            return ()
        answers, self._released = self._released, []
        return answers

    def wake_at(self) -> float | None:
        """When `released` should be called though nothing has happened; None is never."""
        return self._lobby.wake_at()

    def _place(
        self,
        stream: GatewayStream,
        generation: Generation,
        choice: Choice,
        now: float,
        kind: placement.AttemptKind = placement.ATTEMPT_KIND_UNSPECIFIED,
    ) -> placement.Placement:
        """Place an attempt."""
        request, target = generation.request, choice.target
        assert request is not None, "only what was asked for is placed"
        pool, ask = request.pool, request.ask
        going_on = kind == placement.ATTEMPT_KIND_CONTINUATION
        worker, most_cost = target.worker, target.most_cost(request, going_on=going_on)
        lease = Lease(
            self._new_id(),
            generation,
            worker,
            stream,
            worker.epoch,
            target,
            placed_at=now,
            uncached_tokens=request.uncached_tokens(target.position),
            expected_seconds=choice.seconds,
            running_then=target.load,
            waiting_then=worker.waiting_tokens,
            context_tokens=request.input_tokens,
            busy_then=busyness(worker),
            probe=worker.breaker.on_placed(now),
            most_cost=most_cost,
        )
        generation.attempts += 1
        placed = _placed(lease, request, target, kind, most_cost)
        explain.placed(placed.decision, request, choice.targets, target, generation.tried, now)
        lease.charged = pool.admission.accounts.on_placed(ask.key, ask.key_weight, lease.uncached_tokens)
        generation.tried.add(worker.name)
        self._book.take(lease)
        pool.on_placed(request, target, now)
        self._observer.placed(pool.strategy.name, target, kind_word(kind))
        self._observer.decided(generation.model, generation.id, placed.decision)
        if choice.seconds is not None:
            placed.expected_first_content.CopyFrom(to_duration(choice.seconds))
        if choice.spilled:
            self._observer.spilled(pool.model, worker.place.provider)
        if kind in (placement.ATTEMPT_KIND_UNSPECIFIED, placement.ATTEMPT_KIND_RETRY) and self._may_hedge(generation):
            usual = worker.first_content_seconds if choice.seconds is None else choice.seconds
            seconds = hedging.slow_after(pool.hedge, usual, error_p95=pool.lateness.value)
            if seconds is not None and any(hedging.others(lease, request, generation.tried, pool.hedge, now)):
                placed.hedge_after.CopyFrom(to_duration(seconds))
        shadow = shadowing.shadow_of(request, now) if generation.attempts == 1 else None
        if shadow is not None:
            placed.shadow.CopyFrom(self._shadowed(stream, request, shadow, now))
        return placed

    def _shadowed(self, stream: GatewayStream, request: Request, target: Target, now: float) -> placement.Placement:
        """A lease that stands for itself: whatever becomes of it, the generation that it follows does not change."""
        worker = target.worker
        lease = Lease(
            self._new_id(),
            Generation(request.ask.generation_id, request.ask.model, attempts=1),
            worker,
            stream,
            worker.epoch,
            placed_at=now,
            uncached_tokens=request.input_tokens,
            context_tokens=request.input_tokens,
            running_then=target.load,
            probe=worker.breaker.on_placed(now),
        )
        self._book.take(lease)
        kind = placement.ATTEMPT_KIND_SHADOW
        self._observer.placed(request.pool.strategy.name, target, kind_word(kind))
        return _placed(lease, request, target, kind, target.most_cost(request))

    def _may_hedge(self, generation: Generation) -> bool:
        request = generation.request
        return request is not None and hedging.allowed(
            request.pool.flags.hedging, generation, most_attempts=self._retry.max_attempts
        )

    def _go_on(self, broken: Lease, status: status_pb2.Status, verdict: Verdict, now: float) -> Answer:
        """Another replica for an answer that broke off, or the status of what broke it."""
        generation, request = broken.generation, broken.generation.request
        if request is None:
            return self._give_up(broken, status, verdict, Stop.UNKNOWN_REQUEST, now)
        pool = request.pool
        if not continuing.allowed(pool.flags.continuation, generation, verdict, pool.continuation):
            return self._give_up(broken, status, verdict, Stop.COMMITTED, now)
        targets = continuing.replicas(request, broken, now)
        if not targets:
            return self._give_up(broken, status, verdict, Stop.NO_WORKER, now)
        if retries.too_late(0.0, now=now, ends_at=generation.ends_at):
            return self._give_up(broken, status, verdict, Stop.DEADLINE, now)
        generation.continued += 1
        choice = self._one_of(request, targets, now)
        kind = placement.ATTEMPT_KIND_CONTINUATION
        return self._place(broken.stream, generation, choice, now, kind)

    def _one_of(self, request: Request, targets: Sequence[Target], now: float) -> Choice:
        """The strategy's choice of targets that may all be taken at once."""
        pool = request.pool
        pool.look_up(request)
        target = pool.choose(request, targets, now, self._rng)
        prediction = pool.predict(request, target, now)
        return Choice(target, now, None if prediction is None else prediction.first_content_seconds, targets)

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
        choice = self._lobby.retry(generation, request, now=now, later=now + pause)
        if choice is not None:
            wait = retries.delay([choice.target], at=choice.at, now=now, pause=pause)
            if retries.too_late(wait, now=now, ends_at=generation.ends_at):
                return self._give_up(failed, status, verdict, Stop.DEADLINE, now)
        elif not selection.worth_waiting(request, generation.tried, now):
            if verdict.reason != "WORKER_SATURATED":
                return self._give_up(failed, status, verdict, Stop.NO_WORKER, now)
            generation.tried.discard(failed.worker.name)  # it has not failed: it was full, by what others placed there
        if not pool.budget.take(now):
            return self._give_up(failed, status, verdict, Stop.BUDGET, now)
        if choice is None:
            ahead = self._lobby.wait(failed.stream, generation, request, now, cause=status)
            if isinstance(ahead, Failure):
                return self._give_up(failed, status, verdict, Stop.NO_WORKER, now)
            return self._waits(generation, ahead)
        answer = self._place(failed.stream, generation, choice, now, placement.ATTEMPT_KIND_RETRY)
        if wait:
            answer.delay.CopyFrom(to_duration(wait))
        return answer

    def _waits(self, generation: Generation, ahead: int) -> placement.Waiting:
        return placement.Waiting(generation_id=generation.id, ahead=ahead)

    def _on_fate(self, waiter: Waiter, fate: Fate, now: float) -> None:
        """Somebody waits no longer."""
        stream, generation = waiter.stream, waiter.generation
        placed = not isinstance(fate, Failure)
        self._observer.waited(waiter.request.pool.model, now - waiter.since, placed=placed)
        answer: Answer
        if isinstance(fate, Failure):
            _forget(stream, generation)
            answer = self._refuse(generation, fate, explain.refused(waiter.request))
            if waiter.cause is not None:
                answer = Refused(generation.id, with_retry_after(waiter.cause, fate.retry_after or 1.0))
        else:
            kind = placement.ATTEMPT_KIND_RETRY if generation.attempts else placement.ATTEMPT_KIND_UNSPECIFIED
            answer = self._place(stream, generation, fate, now, kind)
        self._released.append((stream, answer))

    def _give_up(self, failed: Lease, status: status_pb2.Status, verdict: Verdict, stop: Stop, now: float) -> Refused:
        generation = failed.generation
        _forget(failed.stream, generation)
        self._observer.refused(generation.model, verdict.reason, generation.id, stop, generation.trace_id)
        if not verdict.retryable or failed.committed:
            return Refused(generation.id, status)
        workers = generation.request.pool.workers.values() if generation.request else ()
        return Refused(generation.id, with_retry_after(status, refusals.retry_after(workers, now)))

    def _refuse(self, generation: Generation, failure: Failure, decision: routing.Decision | None = None) -> Refused:
        self._observer.refused(generation.model, failure.reason_name, generation.id, None, generation.trace_id)
        request = generation.request
        if request is not None and failure.reason in _SHED:
            self._observer.shed(request.pool.model, failure.reason_name, request.criticality)
        return Refused(generation.id, failure, decision=decision)

    def _drop(self, lease: Lease) -> None:
        """Release a lease whose attempt ended unseen."""
        self._roster.on_vanished(lease)
        self._book.release(lease)
        if lease.generation.request is not None:
            # What has begun was read; of what has not, nothing is known.
            read = None if lease.committed else 0.0
            self._charge(lease.generation.request, lease, read, 0, None)

    def _settle(self, lease: Lease, outcome: placement.AttemptOutcome, verdict: Verdict, now: float) -> None:
        """What an attempt has used is known."""
        request, usage = lease.generation.request, outcome.usage
        if request is None:
            return
        read: float | None = None
        if usage.input_tokens:
            read = max(0, usage.input_tokens - usage.cached_tokens)
        elif not lease.committed and verdict.kind is not Kind.SUCCESS:
            read = 0.0
        seconds = now - lease.placed_at if verdict.kind is Kind.SUCCESS and lease.placed_at else None
        self._charge(request, lease, read, usage.output_tokens, seconds)

    def _charge(self, request: Request, lease: Lease, read: float | None, written: int, seconds: float | None) -> None:
        key, weight = request.ask.key, request.ask.key_weight
        admission = request.pool.admission
        admission.settle(key, weight, charged=lease.charged, read=read, written=written, seconds=seconds)


def _placed(
    lease: Lease, request: Request, target: Target, kind: placement.AttemptKind, most_cost: int
) -> placement.Placement:
    """A lease in the words that the gateway is told."""
    place = target.worker.place
    return placement.Placement(
        generation_id=lease.generation.id,
        attempt_id=lease.attempt_id,
        number=lease.generation.attempts,
        worker=place.name,
        address=place.address,
        provider=place.provider,
        provider_model=target.provider_model,
        strategy=request.pool.strategy.name,
        drop_unsupported=target.drops,
        role=ROLES[target.role],
        kind=kind,
        max_cost_nano_usd=most_cost,
    )


def _strategy(generation: Generation) -> str:
    return "" if generation.request is None else generation.request.pool.strategy.name


def _forget(stream: GatewayStream, generation: Generation) -> bool:
    """Nothing more is to come of a generation; whether it was known. A shadow has another's id, and is not it."""
    known = stream.generations.get(generation.id) is generation
    if known:
        del stream.generations[generation.id]
    return known
