"""What holds of the decision core whatever happens, in whichever order."""

import collections
import random
from typing import Any

import pytest
from google.rpc import status_pb2
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.router.v1 import placement_pb2 as placement
from hypothesis import given
from hypothesis import strategies as st

from services.config.mesh import MeshConfig
from services.router.breaker import State
from services.router.leases import GatewayStream
from services.router.request import Request
from tests.router.scene import CHAT, LOST, OK, Scene, failed, mesh_config, report

_STATUSES = (
    OK,
    LOST,
    failed(reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, retry_after=0.5),
    failed(reasons.ERROR_REASON_WORKER_SATURATED),
    failed(reasons.ERROR_REASON_SPEC_INVALID),
    failed(reasons.ERROR_REASON_PROVIDER_OVERLOADED, retry_after=2.0),
)
_STATES = (
    worker_status.WORKER_STATE_SERVING,
    worker_status.WORKER_STATE_SERVING,
    worker_status.WORKER_STATE_LOADING,
    worker_status.WORKER_STATE_DRAINING,
    worker_status.WORKER_STATE_FAILED,
)


class _Life:
    """A random life of a router with two gateways, checked at every step against a record of its own."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        workers = self.chance.randint(1, 5)
        config = mesh_config(
            workers=workers,
            fallback_workers=self.chance.randint(0, 2),
            strategy=self.chance.choice(("round_robin", "least_loaded")),
            router={"breaker": {"consecutive_failures": 2}, "retry": {"budget_ratio": self.chance.choice((0.2, 9.0))}},
        )
        self.scene = Scene(config, seed=seed)
        self.streams = [self.scene.stream, self.scene.decider.on_stream("other", ())]
        self.running: dict[str, tuple[placement.Placement, GatewayStream, set[str], float]] = {}
        self.most: dict[str, int] = {}
        self.waiting: dict[str, tuple[GatewayStream, set[str], float]] = {}
        self.numbers = 0

    def step(self) -> None:
        scene, chance = self.scene, self.chance
        scene.now += chance.choice((0.0, 0.01, 0.3, 2.0))
        act = chance.choice(
            (self._ask, self._ask, self._ask, self._end, self._end, self._begin, self._news, self._rare)
        )
        act()
        for stream, answer in self.scene.decider.released(self.scene.now):
            waited, tried, ends_at = self.waiting.pop(answer.generation_id)
            assert waited is stream, "what waited is answered where it was asked"
            self._record(answer, stream, tried, ends_at)
        self._check()

    def _ask(self) -> None:
        stream = self.chance.choice(self.streams)
        self.numbers += 1
        ask = placement.PlacementAsk(generation_id=f"g-{self.numbers}", model="m", capabilities=CHAT)
        if self.chance.random() < 0.5:
            ask.time_left.FromMilliseconds(self.chance.choice((0, 40, 1000)))
        ends_at = self.scene.now + ask.time_left.ToMilliseconds() / 1e3 if ask.HasField("time_left") else float("inf")
        self._record(self.scene.decider.on_ask(stream, ask, self.scene.now), stream, set(), ends_at)

    def _end(self) -> None:
        if not self.running:
            return
        attempt_id = self.chance.choice(sorted(self.running))
        placed, stream, tried, ends_at = self.running.pop(attempt_id)
        ended: status_pb2.Status = self.chance.choice(_STATUSES)
        committed, wanted = self.chance.random() < 0.2, self.chance.random() < 0.9
        outcome = placement.AttemptOutcome(attempt_id=attempt_id, status=ended, committed=committed, wanted=wanted)
        ready = self._ready_elsewhere(tried)
        answer = self.scene.decider.on_outcome(stream, outcome, self.scene.now)
        assert (answer is not None) == (ended.code != 0 and wanted and not committed)
        if isinstance(answer, placement.Placement):
            assert answer.number == placed.number + 1 <= 3
            assert answer.worker not in tried or not ready, "never the same worker while another is left"
            assert self.scene.now + answer.delay.ToNanoseconds() / 1e9 < ends_at
        self._record(answer, stream, tried, ends_at)

    def _ready_elsewhere(self, tried: set[str]) -> bool:
        pool = self.scene.roster.pools["m"]
        asked = Request.of(placement.PlacementAsk(model="m", capabilities=CHAT), pool)
        return any(not t.ruled_out(asked, self.scene.now) for t in pool.targets if t.worker.name not in tried)

    def _record(self, answer: Any, stream: GatewayStream, tried: set[str], ends_at: float) -> None:
        if isinstance(answer, placement.Waiting):
            self.waiting[answer.generation_id] = (stream, tried, ends_at)
        if isinstance(answer, placement.Placement):
            assert self.scene.roster.workers[answer.worker].serving
            assert answer.attempt_id not in self.running
            self.running[answer.attempt_id] = (answer, stream, tried | {answer.worker}, ends_at)

    def _begin(self) -> None:
        if self.running:
            placed, stream, *_ = self.running[self.chance.choice(sorted(self.running))]
            # What has begun ends without a retry; the record follows it no further than its lease.
            self.scene.decider.on_first_content(
                stream, placement.FirstContent(attempt_id=placed.attempt_id), self.scene.now
            )
            self.scene.decider.on_withdrawal(stream, placed.generation_id)
            self.running.pop(placed.attempt_id)

    def _news(self) -> None:
        name = self.chance.choice(sorted(self.scene.roster.workers))
        if self.chance.random() < 0.15:
            self.scene.roster.on_lost(name)
            return
        status = report(
            epoch=self.chance.randint(1, 3),
            sequence=self.chance.randint(1, 50),
            state=self.chance.choice(_STATES),
            running=self.chance.randint(0, 6),
            capacity=self.chance.choice((0, 2, 8)),
        )
        self.scene.report(name, status)

    def _rare(self) -> None:
        index = self.chance.randrange(2)
        old = self.streams[index]
        mine = [entry for entry in self.running.values() if entry[1] is old]
        kept = [entry for entry in mine if self.chance.random() < 0.5]
        restated = [
            placement.RunningLease(attempt_id=p.attempt_id, generation_id=p.generation_id, worker=p.worker, model="m")
            for p, *_ in kept
        ]
        if self.chance.random() < 0.5:
            self.scene.decider.on_stream_end(old)
            self.streams[index] = self.scene.decider.on_stream("again", restated)
        else:
            self.streams[index] = self.scene.decider.on_stream("again", restated)
            self.scene.decider.on_stream_end(old)
        self.waiting = {name: entry for name, entry in self.waiting.items() if entry[0] is not old}
        for entry in mine:
            self.running.pop(entry[0].attempt_id)
        for placed, _, _, ends_at in kept:
            # Every worker counts as tried: such an attempt is never retried.
            everyone = set(self.scene.roster.workers)
            self.running[placed.attempt_id] = (placed, self.streams[index], everyone, ends_at)

    def _check(self) -> None:
        expected = collections.Counter(placed.worker for placed, *_ in self.running.values())
        assert self.scene.leases() == {name: expected[name] for name in self.scene.roster.workers}
        assert self.scene.decider.leases == len(self.running)
        queue = self.scene.roster.pools["m"].admission.queue
        assert {waiter.generation.id for waiter in queue} == set(self.waiting)
        assert (self.scene.decider.wake_at() is None) == (not self.waiting), "whoever waits is looked after"
        for worker in self.scene.roster.workers.values():
            most = worker.places or float("inf")
            assert worker.leases <= most or worker.leases <= self.most.get(worker.name, 0), "nothing above capacity"
            self.most[worker.name] = worker.leases
        for pool in self.scene.roster.pools.values():
            out = sum(worker.breaker.state is not State.CLOSED for worker in pool.workers.values())
            assert out <= 0.5 * len(pool.workers)

    def finish(self) -> None:
        for stream in self.streams:
            self.scene.decider.on_stream_end(stream)
        assert not len(self.scene.roster.pools["m"].admission.queue)
        assert self.scene.decider.leases == 0
        assert set(self.scene.leases().values()) == {0}


@pytest.mark.parametrize("part", range(8))
def test_leases_attempts_and_ejections_keep_their_bounds(part: int) -> None:
    for seed in range(part * 50, part * 50 + 50):
        life = _Life(seed)
        try:
            for _ in range(120):
                life.step()
            life.finish()
        except AssertionError as error:
            error.add_note(f"seed {seed} replays it")
            raise


def _placements(config: MeshConfig, seed: int) -> list[str]:
    scene = Scene(config, seed=seed)
    placed = [scene.place() for _ in range(12)]
    for attempt in placed[::2]:
        scene.end(attempt, LOST)
    return [f"{attempt.worker} {attempt.provider_model}" for attempt in placed + [scene.place() for _ in range(12)]]


@given(
    seed=st.integers(0, 10_000),
    order=st.permutations(["a", "b", "c"]),
    strategy=st.sampled_from(("round_robin", "least_loaded")),
)
def test_decisions_do_not_depend_on_the_order_of_the_configuration(seed: int, order: list[str], strategy: str) -> None:
    def config(names: list[str]) -> MeshConfig:
        providers = {name: {"kind": "echo", "models": ["pm"], "workers": 2} for name in names}
        model = {"name": "m", "strategy": strategy, "routes": [{"provider": name} for name in names]}
        return MeshConfig.model_validate({"providers": providers, "models": [model]})

    assert _placements(config(order), seed) == _placements(config(["a", "b", "c"]), seed)
