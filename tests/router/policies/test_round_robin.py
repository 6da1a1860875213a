"""Everyone in turn."""

import collections

from tests.router.scene import Scene, mesh_config, report


def test_equal_workers_get_exactly_equal_shares() -> None:
    scene = Scene(mesh_config(workers=3, strategy="round_robin"))
    counts = collections.Counter(scene.place().worker for _ in range(30))
    assert counts == {"main-0": 10, "main-1": 10, "main-2": 10}


def test_it_does_not_look_at_load() -> None:
    scene = Scene(mesh_config(workers=2, strategy="round_robin"))
    scene.report("main-0", report(sequence=2, running=50))
    counts = collections.Counter(scene.place().worker for _ in range(10))
    assert counts == {"main-0": 5, "main-1": 5}


def test_a_worker_that_returns_gets_one_request_and_not_a_burst() -> None:
    scene = Scene(mesh_config(workers=3, strategy="round_robin"))
    scene.roster.on_lost("main-0")
    for _ in range(10):
        assert scene.place().worker != "main-0"
    scene.report("main-0")
    after = [scene.place().worker for _ in range(6)]
    assert after.count("main-0") == 2
    assert after[0] == "main-0"


def test_who_is_first_is_left_to_chance() -> None:
    firsts = {Scene(mesh_config(workers=3, strategy="round_robin"), seed=seed).place().worker for seed in range(40)}
    assert firsts == {"main-0", "main-1", "main-2"}
