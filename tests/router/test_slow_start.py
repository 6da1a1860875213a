"""A worker that has come, or come back, is given more bit by bit, as long as others are left."""

from collections import Counter

import pytest
from hybridinference.inference.v1 import worker_status_pb2 as worker_status

from tests.router.scene import LOST, OK, Scene, mesh_config, report

LOADING = worker_status.WORKER_STATE_LOADING


def _reported(scene: Scene, sequence: int) -> None:
    for name in scene.roster.workers:
        scene.report(name, report(epoch=scene.roster.workers[name].epoch, sequence=sequence))


@pytest.mark.parametrize("seconds", range(6))
def test_it_has_one_two_four_at_once_doubling_each_second(seconds: int) -> None:
    scene = Scene(mesh_config(workers=2))
    scene.report("main-0", report(epoch=2))
    scene.now += seconds
    _reported(scene, 2)
    assert Counter(scene.place().worker for _ in range(200))["main-0"] == min(2**seconds, 100)


def test_after_some_seconds_it_is_like_any_other() -> None:
    scene = Scene(mesh_config(workers=2, router={"slow_start_seconds": 2}))
    scene.report("main-0", report(epoch=2))
    scene.now += 2.0
    _reported(scene, 2)
    assert Counter(scene.place().worker for _ in range(200))["main-0"] == 100


def test_nothing_is_refused_where_nobody_else_is_left() -> None:
    scene = Scene(mesh_config(workers=2))
    for name in scene.roster.workers:
        scene.report(name, report(epoch=2))
    assert Counter(scene.place().worker for _ in range(20)) == {"main-0": 10, "main-1": 10}


def test_a_fallback_worker_does_not_serve_because_primary_ones_are_new() -> None:
    scene = Scene(mesh_config(workers=1, fallback_workers=1))
    scene.report("main-0", report(epoch=2))
    assert {scene.place().worker for _ in range(20)} == {"main-0"}


def test_one_that_has_loaded_starts_slowly() -> None:
    scene = Scene(mesh_config(workers=2))
    scene.report("main-0", report(state=LOADING, sequence=2))
    scene.report("main-0", report(sequence=3))
    assert Counter(scene.place().worker for _ in range(20))["main-0"] == 1


def test_those_that_a_new_router_finds_serving_do_not() -> None:
    scene = Scene(mesh_config(workers=2))
    assert Counter(scene.place().worker for _ in range(20)) == {"main-0": 10, "main-1": 10}


def test_one_that_was_ejected_starts_slowly_once_its_probe_went_well() -> None:
    scene = Scene(mesh_config(workers=2, router={"breaker": {"consecutive_failures": 2}}))
    failures = 0
    while failures < 2:
        placed = scene.place()
        failures += placed.worker == "main-0"
        scene.end(placed, LOST if placed.worker == "main-0" else OK, wanted=False)
    scene.now += 1.3
    _reported(scene, 2)
    probe = next(placed for placed in (scene.place() for _ in range(4)) if placed.worker == "main-0")
    scene.begin(probe)
    scene.end(probe)
    placed = Counter(scene.place().worker for _ in range(20))
    assert placed["main-0"] == 1
    scene.now += 1.0
    assert Counter(scene.place().worker for _ in range(20))["main-0"] == 1, "two at once, of which one is there"


def test_it_is_over_on_time_also_within_a_second() -> None:
    scene = Scene(mesh_config(workers=2, router={"slow_start_seconds": 0.5}))
    scene.report("main-0", report(epoch=2))
    assert Counter(scene.place().worker for _ in range(20))["main-0"] == 1
    scene.now += 0.5
    assert Counter(scene.place().worker for _ in range(80))["main-0"] == 49
