"""Leases that a gateway restates: a router that has just begun goes on as its predecessor would have."""

import pytest
from google.protobuf import duration_pb2
from hybridinference.router.v1 import placement_pb2 as placement

from services.router.progress import Pending
from tests.router.scene import CHAT, LOST, Scene, mesh_config, told

BLOCKS = (11, 12, 13)


def _running(**fields: object) -> placement.RunningLease:
    ask = placement.PlacementAsk(
        generation_id="g", model="m", capabilities=CHAT, input_tokens=200, prefix_hashes=BLOCKS
    )
    restated = placement.RunningLease(attempt_id="a", generation_id="g", worker="main-0", model="m", ask=ask, number=1)
    restated.age.FromSeconds(2)
    restated.MergeFrom(placement.RunningLease(**fields))  # type: ignore[arg-type]
    return restated


def _scene(restated: placement.RunningLease) -> Scene:
    scene = Scene(mesh_config(workers=3))
    scene.stream = scene.decider.on_stream("gateway", [restated], scene.now)
    return scene


def _fail(scene: Scene, attempt_id: str) -> object:
    return scene.end(placement.Placement(attempt_id=attempt_id), LOST)


def test_an_attempt_that_fails_after_the_router_s_restart_is_tried_elsewhere() -> None:
    scene = _scene(_running())
    again = _fail(scene, "a")
    assert isinstance(again, placement.Placement)
    assert again.worker != "main-0"
    assert (again.generation_id, again.number) == ("g", 2)


def test_who_failed_it_before_is_not_asked_again() -> None:
    scene = _scene(_running(number=2, tried=["main-1"]))
    again = _fail(scene, "a")
    assert isinstance(again, placement.Placement)
    assert (again.worker, again.number) == ("main-2", 3)
    assert told(_fail(scene, again.attempt_id)).reason_name == "WORKER_LOST", "three attempts are all"


def test_what_is_restated_without_what_was_asked_ends_with_its_failure() -> None:
    scene = Scene(mesh_config(workers=3))
    bare = placement.RunningLease(attempt_id="a", generation_id="g", worker="main-0", model="m")
    scene.stream = scene.decider.on_stream("gateway", [bare], scene.now)
    assert told(_fail(scene, "a")).reason_name == "WORKER_LOST"


def test_it_waits_since_it_began_and_not_since_it_was_restated() -> None:
    scene = _scene(_running())
    worker = scene.roster.workers["main-0"]
    assert worker.oldest_pending == Pending(200, scene.now - 2.0, None)


def test_one_that_has_begun_to_answer_waits_for_nothing() -> None:
    scene = _scene(_running(committed=True))
    assert scene.leases()["main-0"] == 1
    assert not scene.roster.workers["main-0"].pending


def test_its_prompt_is_in_its_worker_s_cache() -> None:
    scene = _scene(_running())
    pool = scene.roster.pools["m"]
    at = next(target.position for target in pool.targets if target.worker.name == "main-0")
    assert pool.prefixes.match(BLOCKS) == {at: 3}


@pytest.mark.parametrize("left", [1, 5])
def test_the_deadline_is_over_all(left: int) -> None:
    ask = placement.PlacementAsk(time_left=duration_pb2.Duration(seconds=left))
    scene = _scene(_running(ask=ask))
    again = _fail(scene, "a")
    assert isinstance(again, placement.Placement) is (left == 5)


def test_an_attempt_whose_gateway_came_back_still_teaches_what_it_would_have() -> None:
    scene = Scene(mesh_config(workers=1))
    before = scene.place()
    placed = scene.place()
    scene.begin(before, 0.2)
    scene.begin(placed, 0.2)
    restated = _running(attempt_id=placed.attempt_id, generation_id=placed.generation_id, committed=True)
    scene.stream = scene.decider.on_stream("gateway", [restated], scene.now)
    outcome = placement.AttemptOutcome(attempt_id=placed.attempt_id, committed=True)
    outcome.usage.output_tokens = 100
    outcome.duration.FromSeconds(2)
    scene.decider.on_outcome(scene.stream, outcome, scene.now)
    assert scene.roster.models["m"].speeds.writing.samples == 1
