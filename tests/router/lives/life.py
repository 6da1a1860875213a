"""One random life of a router between gateways and workers, checked at every step against the gateways' own record."""

import hashlib
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence

from google.protobuf import duration_pb2
from google.rpc import status_pb2
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import routing_pb2 as routing
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.deadline import to_duration
from services.router.breaker import State
from services.router.decider import Answer, Decider
from services.router.leases import GatewayStream
from services.router.observer import NullObserver
from services.router.pools import Pool
from services.router.request import Request
from services.router.roster import Roster
from tests.router.lives import world as worlds
from tests.router.lives.record import Asked, Ledger, Running
from tests.router.scene import CHAT, LOST, OK, failed, report

STEPS = 120

_FULL = failed(reasons.ERROR_REASON_WORKER_SATURATED)
_STATUSES = (
    OK,
    *(LOST,) * 4,
    failed(reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, retry_after=0.5),
    _FULL,
    failed(reasons.ERROR_REASON_SPEC_INVALID),
    failed(reasons.ERROR_REASON_PROVIDER_OVERLOADED, retry_after=2.0),
)
_STATES = (
    *(worker_status.WORKER_STATE_SERVING,) * 6,
    worker_status.WORKER_STATE_LOADING,
    worker_status.WORKER_STATE_DRAINING,
    worker_status.WORKER_STATE_FAILED,
)
_HOPELESS = (failed(reasons.ERROR_REASON_SPEC_INVALID).code,)
_CANCELLED = failed(reasons.ERROR_REASON_CANCELLED)
_NEVER = float("inf")


class Life:
    """A life. The same seed is the same life, whatever the order of the configuration's sections.

    Attributes:
        trace: a digest of every answer so far.
        seen: how often what has happened.
    """

    def __init__(self, seed: int, *, order: int | None = None) -> None:
        self.chance = random.Random(seed)
        self.trace = hashlib.sha256()
        self.seen: Counter[str] = Counter()
        self.now = 1000.0
        self.running: dict[str, Running] = {}
        self.asked: dict[str, Asked] = {}
        self.streams: list[GatewayStream] = []
        self._order = order
        self._ids = (f"{number:06}" for number in itertools.count(1))
        self._world = worlds.drawn(self.chance)
        self._start()
        self._acts: Sequence[Callable[[], None]] = (
            *(self._ask,) * 6,
            *(self._end,) * 5,
            *(self._begin,) * 2,
            *(self._hedge,) * 2,
            *(self._news,) * 3,
            self._withdraw,
            self._reconnect,
            self._reload,
        )

    def run(self, steps: int = STEPS) -> None:
        """Live, and end with nothing held."""
        for _ in range(steps):
            self.now += self.chance.choice((0.0, 0.0, 0.01, 0.3, 2.0))
            if self.chance.random() < 0.005:
                self._restart()
            self.chance.choice(self._acts)()
            self._release()
            self._check()
        self._outwait()
        for stream in self.streams:
            self.decider.on_stream_end(stream)
        self.running.clear()
        self.asked.clear()
        self._check()
        assert self.decider.leases == 0

    def _start(self) -> None:
        """A router begins that knows nothing."""
        self.config = self._configured()
        self.ledger = Ledger()
        self.roster = Roster(self.config, NullObserver())
        self.decider = Decider(
            self.roster,
            self.config.router.retry,
            rng=random.Random(self.chance.random()),
            new_id=lambda: next(self._ids),
            observer=NullObserver(),
        )
        self.streams = [self.decider.on_stream(name, ()) for name in ("one", "two")]
        for name in self.roster.workers:
            self.roster.on_status(name, report(capacity=self.chance.choice((0, 2, 8))), self.now)

    def _configured(self) -> worlds.MeshConfig:
        return worlds.config(self._world if self._order is None else worlds.shuffled(self._world, self._order))

    def _ask(self) -> None:
        chance = self.chance
        repeated = bool(self.asked) and chance.random() < 0.05
        gid = chance.choice(sorted(self.asked)) if repeated else f"g-{next(self._ids)}"
        stream = self.asked[gid].stream if repeated else chance.choice(self.streams)
        ask = placement.PlacementAsk(
            generation_id=gid,
            model=chance.choice((*("m", "alias", "n") * 4, "none")),
            capabilities=CHAT,
            input_tokens=chance.choice((10, 5000)),
            max_output_tokens=chance.choice((0, 100)),
            prefix_hashes=range(1, chance.choice((1, 4, 9))),
            key=chance.choice(("k", "l")),
            criticality=chance.choice(sorted(routing.Criticality.values())),
            continuable=chance.random() < 0.7,
        )
        if chance.random() < 0.4:
            ask.time_left.FromMilliseconds(chance.choice((0, 40, 1000, 1000, 60_000, 60_000)))
        if chance.random() < 0.3:
            ask.max_cost_nano_usd = chance.choice((0, 50_000, 1_700_000, 10_000_000))
        self._drop(gid)
        own = self.config.names().get(ask.model, "")
        left = ask.time_left.ToMilliseconds() / 1e3 if ask.HasField("time_left") else _NEVER
        asked = Asked(ask, stream, own, self.now + left)
        if own and left > 0:
            self.ledger.on_request(own, self.now, self.config)
        answer = self.decider.on_ask(stream, ask, self.now)
        self._answered(asked, answer)

    def _end(self) -> None:
        if not self.running:
            return
        run = self.running[self.chance.choice(sorted(self.running))]
        asked, ended = run.asked, self.chance.choice(_STATUSES)
        if not run.shadow and self.chance.random() < 0.1:
            self._commit(run)
        wanted = not run.shadow and self.chance.random() < 0.9
        continuable = run.committed and self.chance.random() < 0.9
        if not run.shadow:
            asked.spent += self._charged(run.placed)
        outcome = placement.AttemptOutcome(
            attempt_id=run.placed.attempt_id,
            status=ended,
            committed=asked.committed and not run.shadow,
            wanted=wanted,
            continuable=continuable,
            time_left=self._left(asked),
            spent_nano_usd=asked.spent,
        )
        del self.running[run.placed.attempt_id]
        if ended is _FULL:
            asked.full.add(run.placed.worker)
        beside, pool = self._beside(run), self.roster.models.get(asked.model)
        elsewhere = pool is not None and self._somebody(self._request(asked, pool), asked)
        answer = self.decider.on_outcome(asked.stream, outcome, self.now)
        assert (answer is not None) == (
            ended.code != 0 and wanted and not beside and (continuable or not outcome.committed)
        )
        if run.shadow:
            self.asked.pop(asked.ask.generation_id, None)
        if run.shadow or beside:
            return
        if answer is not None and outcome.committed:
            self._continued(run, answer)
        elif answer is not None:
            self._retried(asked, answer, ended, elsewhere=elsewhere)
        self._answered(asked, answer)

    def _retried(self, asked: Asked, answer: Answer, ended: status_pb2.Status, *, elsewhere: bool) -> None:
        """Another attempt follows one that failed before it had begun, or waits, or there is none."""
        if not isinstance(answer, placement.Placement | placement.Waiting):
            return
        self.ledger.on_retry(asked.model, self.now, self.config)
        assert asked.known
        assert ended.code not in _HOPELESS, "a caller's own mistake is not tried again"
        if isinstance(answer, placement.Placement):
            assert answer.worker not in asked.tried or not elsewhere, "never the same worker while another is left"
            assert self.now + answer.delay.ToNanoseconds() / 1e9 < asked.ends_at

    def _release(self) -> None:
        """Those that waited are answered, each once, where they asked."""
        for stream, answer in self.decider.released(self.now):
            asked = self.asked[answer.generation_id]
            assert asked.waits
            assert asked.stream is stream
            assert not isinstance(answer, placement.Waiting)
            self._answered(asked, answer)

    def _outwait(self) -> None:
        """Nobody waits for ever, though nothing happens but that time passes."""
        for _ in range(10_000):
            at = self.decider.wake_at()
            if at is None:
                break
            self.now = max(self.now, at)
            self._release()
        assert self.decider.wake_at() is None
        assert not any(asked.waits for asked in self.asked.values())

    def _begin(self) -> None:
        run = self._some(committed=None)
        if run is not None:
            self._commit(run)

    def _commit(self, run: Running) -> None:
        """An attempt begins to answer; one beside it is not wanted any more."""
        run.asked.committed = run.committed = True
        content = placement.FirstContent(attempt_id=run.placed.attempt_id)
        content.latency.FromMilliseconds(self.chance.choice((5, 100, 3000)))
        self.decider.on_first_content(run.asked.stream, content, self.now)
        for other in [one for one in self._beside(run) if one.committed is False]:
            del self.running[other.placed.attempt_id]
            run.asked.spent += self._charged(other.placed)
            outcome = placement.AttemptOutcome(
                attempt_id=other.placed.attempt_id, status=_CANCELLED, spent_nano_usd=run.asked.spent
            )
            assert self.decider.on_outcome(run.asked.stream, outcome, self.now) is None

    def _hedge(self) -> None:
        run = self._some(committed=False)
        if run is None:
            return
        for name, worker in sorted(self.roster.workers.items()):
            if worker.serving and worker.status is not None:  # they are still there; none is hedged to who is silent
                self.roster.on_status(name, worker.status, self.now)
        asked = run.asked
        ask = placement.HedgeAsk(
            attempt_id=run.placed.attempt_id, time_left=self._left(asked), spent_nano_usd=asked.spent
        )
        answer = self.decider.on_hedge(asked.stream, ask, self.now)
        if isinstance(answer, placement.Placement):
            assert answer.kind == placement.ATTEMPT_KIND_HEDGE
            assert asked.known
            assert not asked.hedges, "one hedge for a request"
            assert answer.worker not in asked.tried - asked.full
            asked.hedges += 1
            self.ledger.on_hedge(asked.model)
            self._placed(asked, answer)
        else:
            self.seen["hedge refused"] += 1
            assert not isinstance(answer, placement.Waiting)
            assert answer.attempt_id == run.placed.attempt_id

    def _left(self, asked: Asked) -> duration_pb2.Duration | None:
        return None if asked.ends_at == _NEVER else to_duration(max(0.0, asked.ends_at - self.now))

    def _some(self, *, committed: bool | None) -> Running | None:
        """An attempt that runs and is no shadow, one that has not begun if it is to be so."""
        able = [one for one, run in sorted(self.running.items()) if not run.shadow]
        if committed is False:
            able = [one for one in able if not self.running[one].asked.committed]
        return self.running[self.chance.choice(able)] if able else None

    def _beside(self, run: Running) -> list[Running]:
        """Other attempts at the same request."""
        return [one for one in self.running.values() if one.asked is run.asked and one is not run]

    def _continued(self, broken: Running, answer: Answer) -> None:
        """An answer that has broken off goes on elsewhere, at the same model."""
        assert not isinstance(answer, placement.Waiting)
        if isinstance(answer, placement.Placement):
            asked = broken.asked
            assert answer.kind == placement.ATTEMPT_KIND_CONTINUATION
            assert asked.known
            assert (answer.provider, answer.provider_model) == (broken.placed.provider, broken.placed.provider_model)
            assert answer.worker != broken.placed.worker
            asked.continued += 1
            assert asked.continued <= self.config.router.continuation.max_times

    def _withdraw(self) -> None:
        if self.asked:
            gid = self.chance.choice(sorted(self.asked))
            self.decider.on_withdrawal(self.asked[gid].stream, gid)
            self._drop(gid)

    def _news(self) -> None:
        name = self.chance.choice(sorted(self.roster.workers))
        if self.chance.random() < 0.15:
            self.roster.on_lost(name)
            return
        status = report(
            epoch=self.chance.randint(1, 2),
            sequence=self.chance.randint(1, 50),
            state=self.chance.choice(_STATES),
            running=self.chance.randint(0, 6),
            capacity=self.chance.choice((0, 2, 8)),
        )
        self.roster.on_status(name, status, self.now)

    def _reconnect(self) -> None:
        """A gateway's stream breaks. Some of its attempts go on: restated before the router notices, or after."""
        index = self.chance.randrange(len(self.streams))
        old = self.streams[index]
        kept = [run for run in self._of(old) if self.chance.random() < 0.5]
        if self.chance.random() < 0.5:
            self.decider.on_stream_end(old)
            self._forgotten(kept)
            self._restate(index, old, kept)
        else:
            self._restate(index, old, kept)
            self.decider.on_stream_end(old)

    def _restart(self) -> None:
        """Another router begins, and is told what runs."""
        self.seen["restart"] += 1
        before = [(stream, self._of(stream)) for stream in self.streams]
        self._start()
        for index, (old, kept) in enumerate(before):
            self._forgotten(kept)
            self._restate(index, old, kept)

    def _reload(self) -> None:
        self.seen["reload"] += 1
        self._world = worlds.changed(self.chance, self._world)
        self.config = self._configured()
        self.decider.reconfigure(self.config, self.now)
        names = self.config.names()
        self.ledger.keep(set(names.values()))
        for asked in self.asked.values():
            asked.model = names.get(asked.model, "")
            asked.known = asked.known and bool(asked.model)
        for name in sorted(self.roster.workers):
            if self.roster.workers[name].status is None and self.chance.random() < 0.7:
                self.roster.on_status(name, report(), self.now)

    def _restate(self, index: int, old: GatewayStream, kept: Sequence[Running]) -> None:
        restated = [
            placement.RunningLease(
                attempt_id=run.placed.attempt_id,
                generation_id=run.asked.ask.generation_id,
                worker=run.placed.worker,
                model=run.asked.ask.model,
                committed=run.committed,
                ask=None if run.shadow else run.asked.ask,
                number=run.placed.number,
                tried=sorted(run.asked.tried),
                age=to_duration(self.now - run.since),
            )
            for run in kept
        ]
        self.streams[index] = self.decider.on_stream("again", restated, self.now)
        # Who waited waits no longer: nobody would hear the answer.
        self.asked = {gid: asked for gid, asked in self.asked.items() if asked.stream is not old}
        self.running = {name: run for name, run in self.running.items() if run.asked.stream is not old}
        for run in kept:
            run.asked.restated = True
            run.asked.stream, run.asked.waits = self.streams[index], False
            run.asked.model = self.config.names().get(run.asked.ask.model, "")
            run.asked.known = bool(run.asked.model) and not run.shadow
            numbers = (one.placed.number for one in kept if one.asked is run.asked)
            run.asked.attempts = max(*numbers, len(run.asked.tried))
            self.asked[run.asked.ask.generation_id] = run.asked
            self.running[run.placed.attempt_id] = run

    def _forgotten(self, kept: Sequence[Running]) -> None:
        """Of these the router knows no more than what it is told."""
        for run in kept:
            run.asked.hedges = run.asked.continued = 0
            worker = self.roster.known(run.placed.worker)
            run.place = worker.name, worker.place.address

    def _of(self, stream: GatewayStream) -> list[Running]:
        return [run for run in self.running.values() if run.asked.stream is stream]

    def _drop(self, gid: str) -> None:
        asked = self.asked.pop(gid, None)
        for attempt_id in [one for one, run in self.running.items() if run.asked is asked]:
            del self.running[attempt_id]

    def _somebody(self, request: Request, asked: Asked) -> bool:
        """Whether a worker that was not tried may take an attempt."""
        return any(
            not target.ruled_out(request, self.now) and target.role in ("primary", "fallback")
            for target in request.pool.targets
            if target.worker.name not in asked.tried
        )

    def _answered(self, asked: Asked, answer: Answer | None) -> None:
        gid = asked.ask.generation_id
        self.trace.update(repr((gid, type(answer).__name__)).encode())
        if answer is not None and not isinstance(answer, placement.Placement):
            self.seen[type(answer).__name__.lower()] += 1
        asked.waits = isinstance(answer, placement.Waiting)
        if isinstance(answer, placement.Placement):
            self._placed(asked, answer)
        elif isinstance(answer, placement.Waiting):
            self.asked[gid] = asked
        elif not any(run.asked is asked for run in self.running.values()):
            self.asked.pop(gid, None)

    def _placed(self, asked: Asked, placed: placement.Placement) -> None:
        self.trace.update(repr((placed.attempt_id, placed.worker, placed.number)).encode())
        kind = placement.AttemptKind.Name(placed.kind).removeprefix("ATTEMPT_KIND_").lower()
        self.seen["placed" if kind == "unspecified" else kind] += 1
        self.seen["shadow"] += placed.HasField("shadow")
        worker = self.roster.workers[placed.worker]
        assert worker.serving
        assert worker.place.address == placed.address
        assert placed.attempt_id not in self.running
        assert self._routed(asked, placed), "no route of the configuration leads there"
        self._within_cost(asked, placed)
        for run in self.running.values():
            assert run.asked is not asked or run.placed.worker != placed.worker, "two at once on one worker"
        asked.attempts += 1
        asked.tries += placed.kind != placement.ATTEMPT_KIND_CONTINUATION
        assert placed.number == asked.attempts
        assert asked.tries <= self.config.router.retry.max_attempts
        asked.tried.add(placed.worker)
        self.asked[asked.ask.generation_id] = asked
        self.running[placed.attempt_id] = Running(placed, asked, (placed.worker, placed.address), self.now)
        if placed.HasField("shadow"):
            shadow = placed.shadow
            assert asked.attempts == 1
            assert self._routed(asked, shadow)
            assert shadow.role == routing.ROUTE_ROLE_SHADOW
            # It stands for itself, by a name of its own where it is restated.
            ask = placement.PlacementAsk(generation_id=shadow.attempt_id, model=asked.ask.model)
            alone = Asked(ask, asked.stream, asked.model, _NEVER, known=False)
            self.running[shadow.attempt_id] = Running(shadow, alone, (shadow.worker, shadow.address), self.now)

    def _routed(self, asked: Asked, placed: placement.Placement) -> bool:
        model = next(model for model in self.config.models if model.name == asked.model)
        role = routing.RouteRole.Name(placed.role).removeprefix("ROUTE_ROLE_").lower()
        return any(route.provider == placed.provider and route.role == role for route in model.routes)

    def _within_cost(self, asked: Asked, placed: placement.Placement) -> None:
        """By the configuration's prices, with the prompt uncached and the longest answer; all attempts together."""
        if asked.ask.HasField("max_cost_nano_usd"):
            beside = sum(run.placed.max_cost_nano_usd for run in self.running.values() if run.asked is asked)
            # What it costs where it runs is known to who placed it there; what was spent, to who has heard of an end.
            known = 0 if asked.restated else beside + asked.spent
            assert self._cost(asked, placed) + known <= asked.ask.max_cost_nano_usd + 1

    def _cost(self, asked: Asked, placed: placement.Placement) -> float:
        routes = [route for model in self.config.models for route in model.routes]
        prices = [route.price for route in routes if route.provider == placed.provider and route.price is not None]
        if not prices:
            return 0.0
        price = prices[0].model_dump() | {"cached_input": prices[0].cached_input or 0}
        usd = {name: float(value or 0) for name, value in price.items()}
        prompt = max(1, asked.ask.input_tokens) * max(usd["input"], usd["cached_input"])
        seconds = self.config.gateway.timeout_seconds if asked.ends_at == _NEVER else asked.ends_at - self.now
        tokens = prompt + asked.ask.max_output_tokens * usd["output"]
        return 1e3 * tokens + 1e9 * max(0.0, seconds) * usd["second"]

    def _charged(self, placed: placement.Placement) -> int:
        """What an attempt has cost: nothing, or up to all that it might."""
        return self.chance.choice((0, placed.max_cost_nano_usd // 3, placed.max_cost_nano_usd))

    def _request(self, asked: Asked, pool: Pool) -> Request:
        request = Request.of(asked.ask, pool)
        request.has_cost(asked.spent)
        return request

    def _check(self) -> None:
        held = Counter(run.place for run in self.running.values())
        for worker in (*self.roster.workers.values(), *self.roster.leaving.values()):
            assert worker.leases == held[worker.name, worker.place.address], worker.name
        assert self.decider.leases == len(self.running)
        for stream in self.streams:
            mine = {gid for gid, asked in self.asked.items() if asked.stream is stream}
            assert stream.generations.keys() == mine
        for name, pool in self.roster.models.items():
            waiting = sum(asked.waits and asked.model == name for asked in self.asked.values())
            assert len(pool.admission.queue) == waiting <= pool.admission.settings.max_waiting
        for pool in self.roster.models.values():
            out = sum(worker.breaker.state is not State.CLOSED for worker in pool.workers.values())
            assert out <= self.config.router.breaker.max_ejected_share * len(pool.workers)
