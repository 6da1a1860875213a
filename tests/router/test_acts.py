"""Whatever happens to requests, hedges, continuations and shadows: what holds of all of them."""

import random

import pytest
from google.rpc import status_pb2
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.router.v1 import placement_pb2 as placement

from services.router.decider import Refused
from tests.router.scene import LOST, OK, Scene, failed, mesh_config, report

_RATIO = 0.1
_ENDS = (
    OK,
    LOST,
    failed(reasons.ERROR_REASON_STREAM_INTERRUPTED),
    failed(reasons.ERROR_REASON_WORKER_SATURATED, retry_after=0.5),
    failed(reasons.ERROR_REASON_ENGINE_FAILED),
    failed(reasons.ERROR_REASON_SPEC_INVALID),
    failed(reasons.ERROR_REASON_CANCELLED),
)


class Life:
    """A gateway that keeps to the rules, with luck of its own."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.made = Scene(
            mesh_config(
                workers=self.rng.randrange(1, 5),
                fallback_workers=self.rng.randrange(2),
                shadow_share=self.rng.choice([0.0, 0.5]),
                router={"hedge": {"budget_ratio": _RATIO}},
                flags={"hedging": True},
            ),
            seed=seed,
        )
        for worker in self.made.roster.workers.values():
            worker.on_first_content(0.1)
        self.running: dict[str, list[placement.Placement]] = {}  # by generation
        self.spoken: set[str] = set()
        self.kinds: dict[str, list[int]] = {}
        self.shadows: list[placement.Placement] = []
        self.asked = self.hedged = 0

    def step(self) -> None:
        """Something happens."""
        self.made.now += self.rng.expovariate(10)
        if self.rng.random() < 0.4 or not self.running:
            self.ask()
            return
        act = self.rng.choice([self.hedge, self.begin, self.end, self.end, self.leave, self.report, self.end_shadow])
        act()

    def ask(self) -> None:
        answer = self.made.answer(continuable=self.rng.random() < 0.7)
        self.asked += 1
        if isinstance(answer, placement.Placement):
            self.take(answer)

    def take(self, placed: placement.Placement) -> None:
        beside = self.running.setdefault(placed.generation_id, [])
        assert placed.worker not in {other.worker for other in beside}
        beside.append(placed)
        self.kinds.setdefault(placed.generation_id, []).append(placed.kind)
        if placed.HasField("shadow"):
            assert placed.kind == placement.ATTEMPT_KIND_UNSPECIFIED
            self.shadows.append(placed.shadow)
        assert placed.provider != "shade"

    def hedge(self) -> None:
        generation_id = self.rng.choice(sorted(self.running))
        (placed, *rest) = self.running[generation_id]
        if rest or generation_id in self.spoken:
            return
        answer = self.made.hedge(placed)
        if isinstance(answer, Refused):
            assert answer.attempt_id == placed.attempt_id
            return
        assert answer.kind == placement.ATTEMPT_KIND_HEDGE
        assert answer.worker != placed.worker
        self.hedged += 1
        self.take(answer)

    def begin(self) -> None:
        """One has content; another beside it is cancelled at once."""
        generation_id = self.rng.choice(sorted(self.running))
        winner = self.rng.choice(self.running[generation_id])
        self.made.begin(winner)
        self.spoken.add(generation_id)
        for other in self.running[generation_id]:
            if other is not winner:
                assert self.made.end(other, failed(reasons.ERROR_REASON_CANCELLED), wanted=False) is None
        self.running[generation_id] = [winner]

    def end(self) -> None:
        generation_id = self.rng.choice(sorted(self.running))
        placed = self.rng.choice(self.running[generation_id])
        committed = generation_id in self.spoken
        status: status_pb2.Status = self.rng.choice(_ENDS) if committed else self.rng.choice(_ENDS[1:])
        self.running[generation_id].remove(placed)
        answer = self.made.end(placed, status, wanted=status is not OK, committed=committed, continuable=committed)
        if self.running[generation_id]:
            assert answer is None, "another attempt still runs"
            return
        if isinstance(answer, placement.Placement):
            continues = answer.kind == placement.ATTEMPT_KIND_CONTINUATION
            assert continues is committed
            assert not continues or answer.worker != placed.worker
            self.take(answer)
            return
        assert status is OK or isinstance(answer, Refused), "somebody waits for an answer"
        del self.running[generation_id]

    def leave(self) -> None:
        generation_id = self.rng.choice(sorted(self.running))
        self.made.decider.on_withdrawal(self.made.stream, generation_id)
        del self.running[generation_id]

    def end_shadow(self) -> None:
        if self.shadows:
            placed = self.shadows.pop(self.rng.randrange(len(self.shadows)))
            assert self.made.end(placed, self.rng.choice(_ENDS), wanted=False) is None

    def report(self) -> None:
        name = self.rng.choice(sorted(self.made.roster.workers))
        if self.rng.random() < 0.2:
            self.made.roster.on_lost(name)
        else:
            self.made.report(name, report(sequence=1 + int(self.made.now * 1000), capacity=self.rng.choice([0, 4])))


@pytest.mark.parametrize("part", range(10))
def test_attempts_hedges_continuations_and_leases_keep_their_bounds(part: int) -> None:
    for seed in range(part * 10, part * 10 + 10):
        life = Life(seed)
        for _ in range(150):
            life.step()
            held = sum(len(attempts) for attempts in life.running.values()) + len(life.shadows)
            assert life.made.decider.leases == held
        assert life.hedged <= _RATIO * life.asked + 1e-6
        for kinds in life.kinds.values():
            continued = kinds.count(placement.ATTEMPT_KIND_CONTINUATION)
            assert continued <= 2
            assert kinds.count(placement.ATTEMPT_KIND_HEDGE) <= 1
            assert len(kinds) - continued <= 3
        while life.running:
            life.leave()
        while life.shadows:
            life.end_shadow()
        assert life.made.decider.leases == 0
        assert not life.made.stream.generations
