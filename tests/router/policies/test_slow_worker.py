"""How soon the strategies that learn find out that one worker is slow."""

import collections
import heapq
import itertools

import pytest
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.deadline import to_duration
from tests.router.scene import OK, Scene, mesh_config, report

_FIRST, _STEP, _TOKENS = 0.05, 0.01, 20


def _shares(strategy: str, kind: str, *, slower: float, seconds: float) -> collections.Counter[str]:
    """Where requests go, one each 25 ms, of which each takes as long as its worker is slow."""
    scene = Scene(mesh_config(workers=4, strategy=strategy), healthy=False)
    for name in scene.roster.workers:
        scene.report(name, report(kind=kind))
    scene.now += 60.0  # past any slow start
    begun, counts, order = scene.now, collections.Counter[str](), itertools.count()
    events: list[tuple[float, int, placement.Placement | None, bool]] = [(scene.now, next(order), None, False)]
    while True:
        scene.now, _, placed, ends = heapq.heappop(events)
        if scene.now > begun + seconds:
            return counts
        if placed is None:
            placed = scene.place()
            if scene.now > begun + seconds / 2:
                counts[placed.worker] += 1
            factor = slower if placed.worker == "main-0" else 1.0
            heapq.heappush(events, (scene.now + factor * _FIRST, next(order), placed, False))
            heapq.heappush(events, (scene.now + factor * (_FIRST + _STEP * _TOKENS), next(order), placed, True))
            heapq.heappush(events, (scene.now + 0.025, next(order), None, False))
            continue
        factor = slower if placed.worker == "main-0" else 1.0
        if not ends:
            scene.begin(placed, factor * _FIRST)
            continue
        outcome = placement.AttemptOutcome(
            attempt_id=placed.attempt_id,
            status=OK,
            committed=True,
            usage=generation.Usage(input_tokens=12, output_tokens=_TOKENS + 1),
            duration=to_duration(factor * (_FIRST + _STEP * _TOKENS)),
        )
        scene.decider.on_outcome(scene.stream, outcome, scene.now)


@pytest.mark.parametrize("kind", ["echo", "vllm", "openai"])
@pytest.mark.parametrize("strategy", ["latency", "adaptive"])
def test_a_worker_five_times_slower_gets_less_than_half_its_share_within_ten_seconds(strategy: str, kind: str) -> None:
    counts = _shares(strategy, kind, slower=5.0, seconds=10.0)
    assert counts["main-0"] < 0.5 * counts.total() / 4


@pytest.mark.parametrize("strategy", ["latency", "adaptive"])
def test_equal_workers_get_about_equal_shares(strategy: str) -> None:
    counts = _shares(strategy, "vllm", slower=1.0, seconds=10.0)
    assert len(counts) == 4
    assert max(counts.values()) < 1.35 * min(counts.values())
