"""Whoever has least to do."""

import collections
import random

from hybridinference.router.v1 import placement_pb2 as placement
from hypothesis import given
from hypothesis import strategies as st

from services.router.policies.least_loaded import LeastLoaded
from services.router.policies.strategy import Candidate
from tests.router.scene import Scene, mesh_config, report

_ASK = placement.PlacementAsk(model="m")


def _candidate(position: int, *, leases: int = 0, others: int = 0, capacity: int = 0, turn: int = 0) -> Candidate:
    return Candidate(
        position=position,
        worker=f"w-{position}",
        provider="p",
        provider_model="pm",
        fallback=False,
        leases=leases,
        others=others,
        running=others,
        waiting=0,
        capacity=capacity,
        kv_usage=None,
        queued_tokens=0,
        first_content_seconds=None,
        turn=turn,
    )


def _chosen(*candidates: Candidate, seed: int = 1) -> str:
    return LeastLoaded().choose(_ASK, candidates, random.Random(seed)).worker


def test_own_leases_and_what_others_placed_are_added() -> None:
    assert _chosen(_candidate(0, leases=2, others=2), _candidate(1, leases=3)) == "w-1"


def test_load_is_a_share_of_capacity() -> None:
    assert _chosen(_candidate(0, leases=3, capacity=4), _candidate(1, leases=9, capacity=16)) == "w-1"


def test_a_worker_without_a_known_limit_counts_as_large_as_the_largest() -> None:
    assert _chosen(_candidate(0, leases=3, capacity=8), _candidate(1, leases=4)) == "w-0"
    assert _chosen(_candidate(0, leases=5, capacity=8), _candidate(1, leases=4)) == "w-1"


def test_of_two_idle_workers_the_larger_is_chosen() -> None:
    assert _chosen(_candidate(0, capacity=4), _candidate(1, capacity=16)) == "w-1"


def test_idle_equals_take_turns() -> None:
    scene = Scene(mesh_config(workers=4))
    counts: collections.Counter[str] = collections.Counter()
    for _ in range(40):
        placed = scene.place()
        counts[placed.worker] += 1
        scene.end(placed)
    assert set(counts.values()) == {10}


def test_busy_equals_share_evenly() -> None:
    scene = Scene(mesh_config(workers=4))
    for _ in range(40):
        scene.place()
    assert set(scene.leases().values()) == {10}


def test_capacity_decides_the_shares_of_unequal_workers() -> None:
    scene = Scene(mesh_config(workers=2))
    scene.report("main-0", report(sequence=2, capacity=4))
    scene.report("main-1", report(sequence=2, capacity=12))
    for _ in range(16):
        scene.place()
    assert scene.leases() == {"main-0": 4, "main-1": 12}


@given(
    loads=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8),
    seed=st.integers(0, 99),
)
def test_nobody_has_less_to_do_than_the_chosen_one(loads: list[tuple[int, int, int]], seed: int) -> None:
    candidates = [
        _candidate(index, leases=leases, others=others, turn=turn) for index, (leases, others, turn) in enumerate(loads)
    ]
    chosen = LeastLoaded().choose(_ASK, candidates, random.Random(seed))
    assert chosen.load == min(candidate.load for candidate in candidates)
    assert chosen.turn == min(candidate.turn for candidate in candidates if candidate.load == chosen.load)
