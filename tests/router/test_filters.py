"""What is remembered of filters is what asking everybody would say."""

import random
from collections.abc import Sequence

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.router.v1 import placement_pb2 as placement
from hypothesis import given
from hypothesis import strategies as st

from services.config.mesh import MeshConfig
from services.router.faults import Kind, Verdict
from services.router.request import Request
from services.router.target import Target
from tests.router.scene import CHAT, LOST, OK, Scene, failed

_TOOLS = (*CHAT, model.CAPABILITY_TOOLS)
_ENDS = (
    OK,
    LOST,
    LOST,
    failed(reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, retry_after=0.5),
    failed(reasons.ERROR_REASON_WORKER_SATURATED),
)


def _config() -> MeshConfig:
    return MeshConfig.model_validate(
        {
            "providers": {
                "near": {"kind": "echo", "models": ["pm"], "workers": 3},
                "far": {"kind": "echo", "models": ["pm", "ps"], "workers": 2},
            },
            "models": [
                {
                    "name": "m",
                    "routes": [
                        {"provider": "near", "tags": ["eu", "fast"]},
                        {"provider": "far", "model": "pm", "tags": ["eu"], "on_unsupported": "drop"},
                        {"provider": "far", "model": "ps", "role": "fallback", "price": {"input": 1, "output": 1}},
                    ],
                }
            ],
            "router": {"breaker": {"consecutive_failures": 2}, "retry": {"budget_ratio": 9.0}},
        }
    )


class _Life:
    """A router to which anything happens, and a look at all filters after each thing."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.scene = Scene(_config(), seed=seed)
        self.pool = self.scene.roster.models["m"]
        self.running: list[placement.Placement] = []
        self.sequence = 1

    def step(self) -> None:
        self.scene.now += self.chance.choice((0.0, 0.01, 0.4, 3.0))
        self.chance.choice((self._ask, self._ask, self._end, self._begin, self._report, self._lose))()

    def check(self) -> None:
        request = Request.of(self._asked(), self.pool)
        now = self.scene.now
        for role in ("primary", "fallback"):
            for only in ("", "slow_start", "stalled"):
                slow = [t for t in self.pool.targets if t.role == role and t.ruled_out(request, now) == only]
                assert list(self.pool.filters.ready(request, role, now, despite=only)) == slow
            fit = [t for t in self.pool.targets if t.role == role and not t.unfit(request)]
            assert self.pool.filters.fitting_bits(request, role) == sum(1 << t.position for t in fit)
        asked = [target.unavailable(now) for target in self.pool.targets]
        assert list(self.pool.filters.states(now)) == [why for why, _ in asked]
        ends = min((until for why, until in asked if why), default=float("inf"))
        assert self.pool.filters.changes_at(now) <= ends

    def _asked(self) -> placement.PlacementAsk:
        chance = self.chance
        ask = placement.PlacementAsk(
            generation_id=f"g-{chance.getrandbits(60)}",
            model="m",
            input_tokens=chance.choice((10, 1400, 1600, 40_000)),
            max_output_tokens=chance.choice((0, 100)),
            capabilities=chance.choice((CHAT, _TOOLS)),
            tags=chance.choice(((), (), ("eu",), ("eu", "fast"), ("us",))),
            providers=chance.choice(((), (), ("near",), ("far",), ("near", "far"))),
            worker=chance.choice(("", "", "", "near-1", "far-0", "nobody")),
        )
        if chance.random() < 0.3:
            ask.max_cost_nano_usd = chance.choice((0, 1_000_000, 10_000_000))
        return ask

    def _ask(self) -> None:
        answer = self.scene.decider.on_ask(self.scene.stream, self._asked(), self.scene.now)
        if isinstance(answer, placement.Placement):
            self.running.append(answer)

    def _end(self) -> None:
        if self.running:
            placed = self.running.pop(self.chance.randrange(len(self.running)))
            answer = self.scene.end(placed, self.chance.choice(_ENDS))
            if isinstance(answer, placement.Placement):
                self.running.append(answer)

    def _begin(self) -> None:
        if self.running:
            self.scene.begin(self.chance.choice(self.running))

    def _lose(self) -> None:
        self.scene.roster.on_lost(self.chance.choice(sorted(self.scene.roster.workers)))

    def _report(self) -> None:
        chance, self.sequence = self.chance, self.sequence + 1
        status = worker_status.WorkerStatus(
            state=chance.choice((worker_status.WORKER_STATE_SERVING,) * 3 + (worker_status.WORKER_STATE_LOADING,)),
            epoch=chance.choice((1, 1, 1, 2)),
            sequence=self.sequence,
            running=chance.choice((0, 0, 1, 9)),
            emitted=self.sequence if chance.random() < 0.3 else 0,
            capacity=chance.choice((0, 1, 2)),
        )
        for name in chance.choice((("pm",), ("pm", "ps"), ("ps",))):
            capabilities, context = chance.choice((CHAT, _TOOLS)), chance.choice((0, 1000, 1000, 32_768))
            status.models.add(name=name, capabilities=capabilities, context_tokens=context)
        self.scene.report(chance.choice(sorted(self.scene.roster.workers)), status)


@given(seed=st.integers(0, 1 << 32))
def test_what_is_remembered_is_what_asking_everybody_says(seed: int) -> None:
    life = _Life(seed)
    for _ in range(40):
        life.step()
        for _ in range(2):
            life.check()


def test_a_clock_that_goes_back_makes_everybody_be_asked_again() -> None:
    life = _Life(1)
    worker = life.scene.roster.workers["near-0"]
    worker.hold(Verdict(Kind.AWAY, retry_after=5), life.scene.now, "")
    life.scene.now += 10
    life.check()
    life.scene.now -= 9
    life.check()


def _asked_of(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []
    ask = Target.unavailable

    def noted(target: Target, at: float) -> tuple[str, float]:
        asked.append(target.worker.name)
        return ask(target, at)

    scene.place()
    monkeypatch.setattr(Target, "unavailable", noted)
    return asked


def _names(names: Sequence[str]) -> list[str]:
    return sorted(set(names))


def test_only_workers_that_changed_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(_config())
    asked = _asked_of(scene, monkeypatch)
    first = scene.place()
    asked.clear()
    scene.place()
    assert _names(asked) == [first.worker]


def test_a_worker_that_is_held_is_asked_again_when_its_time_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(_config())
    placed = scene.place()
    scene.end(placed, failed(reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, retry_after=5), wanted=False)
    scene.place()
    asked = _asked_of(scene, monkeypatch)
    scene.now += 4
    assert placed.worker not in {scene.place().worker for _ in range(8)}
    asked.clear()
    scene.now += 2
    assert placed.worker in {scene.place().worker for _ in range(8)}
    assert placed.worker in asked


def test_reports_that_change_only_load_leave_kinds_of_requests_known(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(_config())
    scene.place()
    monkeypatch.setattr(Target, "unsuited", lambda target, request: pytest.fail("asked again"))
    for name in scene.roster.workers:
        status = worker_status.WorkerStatus()
        known = scene.roster.workers[name].status
        assert known is not None
        status.CopyFrom(known)
        status.sequence, status.running = 9, 3
        scene.report(name, status)
    scene.place()
