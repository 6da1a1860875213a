"""Whoever has least to do."""

import collections
import random

from hypothesis import given
from hypothesis import strategies as st

from services.router.policies.least_loaded import LeastLoaded
from services.router.target import Target
from tests.router.policies.targets import loaded, request, targets
from tests.router.scene import Scene, mesh_config, report


def _chosen(*changes: dict[str, int], seed: int = 1) -> Target:
    seen = [loaded(target, **change) for target, change in zip(targets(len(changes)), changes, strict=True)]
    pool = Scene(mesh_config(workers=len(changes))).roster.models["m"]
    return LeastLoaded().choose(request(pool), seen, 1000.0, random.Random(seed))


def test_own_leases_and_what_others_placed_are_added() -> None:
    assert _chosen({"leases": 2, "others": 2}, {"leases": 3}).worker.name == "main-1"


def test_load_is_a_share_of_capacity() -> None:
    assert _chosen({"leases": 3, "capacity": 4}, {"leases": 9, "capacity": 16}).worker.name == "main-1"


def test_a_worker_without_a_known_limit_counts_as_large_as_the_largest() -> None:
    assert _chosen({"leases": 3, "capacity": 8}, {"leases": 4}).worker.name == "main-0"
    assert _chosen({"leases": 5, "capacity": 8}, {"leases": 4}).worker.name == "main-1"


def test_of_two_idle_workers_the_larger_is_chosen() -> None:
    assert _chosen({"capacity": 4}, {"capacity": 16}).worker.name == "main-1"


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
    seen = [
        loaded(target, leases=leases, others=others, turn=turn)
        for target, (leases, others, turn) in zip(targets(len(loads)), loads, strict=True)
    ]
    pool = Scene(mesh_config(workers=len(loads))).roster.models["m"]
    chosen = LeastLoaded().choose(request(pool), seen, 1000.0, random.Random(seed))
    assert chosen.load == min(target.load for target in seen)
    assert chosen.turn == min(target.turn for target in seen if target.load == chosen.load)
