"""Placements, leases and what happens to them."""

import pytest
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.inference.v1 import routing_pb2 as routing
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.router.v1 import placement_pb2 as placement

from tests.router.scene import CHAT, LOST, Scene, mesh_config, report, told

_LOADING = report(state=worker_status.WORKER_STATE_LOADING, models=())
_DRAINING = report(sequence=2, state=worker_status.WORKER_STATE_DRAINING)


def test_a_placement_says_all_that_the_gateway_needs() -> None:
    scene = Scene(mesh_config(workers=1))
    placed = scene.place(generation_id="g")
    assert placed == placement.Placement(
        generation_id="g",
        attempt_id="attempt-1",
        number=1,
        worker="main-0",
        address="unix:run/worker-main-0.sock",
        provider="main",
        provider_model="pm",
        strategy="least_loaded",
        role=routing.ROUTE_ROLE_PRIMARY,
        decision=placed.decision,
    )


def test_a_lease_lasts_until_its_outcome() -> None:
    scene = Scene(mesh_config(workers=1))
    placed = scene.place()
    assert scene.leases() == {"main-0": 1}
    assert scene.end(placed) is None
    assert scene.leases() == {"main-0": 0}
    assert scene.decider.leases == 0


def test_an_outcome_told_twice_releases_once() -> None:
    scene = Scene(mesh_config(workers=1))
    placed, _ = scene.place(), scene.place()
    scene.end(placed)
    assert scene.end(placed, LOST) is None
    assert scene.leases() == {"main-0": 1}


def test_the_end_of_a_stream_releases_its_leases_and_no_others() -> None:
    scene = Scene(mesh_config(workers=1))
    scene.place()
    scene.place()
    other = scene.decider.on_stream("other", ())
    scene.decider.on_ask(other, placement.PlacementAsk(generation_id="x", model="m", capabilities=CHAT), scene.now)
    scene.decider.on_stream_end(scene.stream)
    assert scene.leases() == {"main-0": 1}
    scene.decider.on_stream_end(other)
    scene.decider.on_stream_end(other)
    assert scene.leases() == {"main-0": 0}


def test_a_withdrawal_releases_what_was_placed_meanwhile() -> None:
    scene = Scene(mesh_config(workers=1))
    placed = scene.place(generation_id="g")
    scene.decider.on_withdrawal(scene.stream, "g")
    scene.decider.on_withdrawal(scene.stream, "never asked")
    assert scene.leases() == {"main-0": 0}
    assert scene.end(placed, LOST) is None


def test_the_same_generation_asked_for_again_holds_one_lease() -> None:
    scene = Scene(mesh_config(workers=1))
    scene.place(generation_id="g")
    scene.place(generation_id="g")
    assert scene.leases() == {"main-0": 1}


def test_restated_leases_count_and_end_like_any_other() -> None:
    scene = Scene(mesh_config(workers=2))
    running = [
        placement.RunningLease(attempt_id=f"old-{i}", generation_id=f"g-{i}", worker="main-0", model="m")
        for i in range(3)
    ]
    stream = scene.stream = scene.decider.on_stream("gateway", running)
    assert scene.leases() == {"main-0": 3, "main-1": 0}
    assert scene.place().worker == "main-1"
    scene.end(placement.Placement(attempt_id="old-0"))
    assert scene.leases()["main-0"] == 2
    scene.decider.on_stream_end(stream)
    assert scene.leases() == {"main-0": 0, "main-1": 0}


def test_a_lease_restated_before_its_old_stream_has_ended_counts_once() -> None:
    scene = Scene(mesh_config(workers=1))
    old, placed = scene.stream, scene.place(generation_id="g")
    again = placement.RunningLease(
        attempt_id=placed.attempt_id, generation_id="g", worker="main-0", model="m", committed=True
    )
    scene.stream = scene.decider.on_stream("gateway", [again])
    assert scene.leases() == {"main-0": 1}
    scene.decider.on_stream_end(old)
    assert scene.leases() == {"main-0": 1}
    scene.end(placed)
    assert scene.leases() == {"main-0": 0}


def test_a_restated_lease_on_a_worker_that_is_not_configured_any_more_is_answered_for() -> None:
    scene = Scene(mesh_config(workers=1))
    gone = placement.RunningLease(attempt_id="old", generation_id="g", worker="gone-0", model="m")
    scene.stream = scene.decider.on_stream("gateway", [gone])
    assert list(scene.leases()) == ["main-0"]
    assert told(scene.end(placement.Placement(attempt_id="old"), LOST)).reason_name == "WORKER_LOST"
    assert scene.decider.leases == 0


def test_another_gateway_s_attempt_cannot_be_ended() -> None:
    scene = Scene(mesh_config(workers=1))
    placed, mine = scene.place(), scene.stream
    scene.stream = scene.decider.on_stream("other", ())
    scene.end(placed)
    assert scene.leases() == {"main-0": 1}
    scene.stream = mine
    scene.end(placed)
    assert scene.leases() == {"main-0": 0}


@pytest.mark.parametrize(("status", "health"), [(_DRAINING, "DRAINING"), (_LOADING, "LOADING")])
def test_a_worker_that_takes_nothing_is_not_chosen(status: worker_status.WorkerStatus, health: str) -> None:
    scene = Scene(mesh_config(workers=2), healthy=False)
    scene.report("main-0", status)
    scene.report("main-1")
    assert {scene.place().worker for _ in range(5)} == {"main-1"}
    assert scene.health("main-0") == health


def test_a_worker_whose_engine_is_dead_is_unreachable() -> None:
    scene = Scene(mesh_config(workers=1))
    scene.report("main-0", report(sequence=2, state=worker_status.WORKER_STATE_FAILED))
    assert scene.health("main-0") == "UNREACHABLE"
    assert scene.refusal().reason_name == "NO_HEALTHY_WORKER"


def test_a_worker_that_was_lost_is_chosen_again_when_it_is_back() -> None:
    scene = Scene(mesh_config(workers=1))
    scene.roster.on_lost("main-0")
    assert scene.refusal().reason_name == "NO_HEALTHY_WORKER"
    scene.report("main-0", report(epoch=2))
    assert scene.place().worker == "main-0"


def test_fallback_routes_serve_only_while_no_primary_one_can() -> None:
    scene = Scene(mesh_config(workers=1, fallback_workers=1))
    assert {scene.place().worker for _ in range(5)} == {"main-0"}
    scene.roster.on_lost("main-0")
    placed = scene.place()
    assert (placed.worker, placed.provider, placed.provider_model) == ("spare-0", "spare", "ps")
    scene.report("main-0")
    assert scene.place().worker == "main-0"


def test_a_full_primary_route_spills_over_to_the_fallback() -> None:
    scene = Scene(mesh_config(workers=1, fallback_workers=1))
    scene.report("main-0", report(sequence=2, capacity=2, kind="echo"))
    assert [scene.place().worker for _ in range(4)] == ["main-0"] * 2 + ["spare-0"] * 2


def test_a_worker_that_cannot_do_it_is_not_chosen() -> None:
    scene = Scene(mesh_config(workers=2), healthy=False)
    scene.report("main-0")
    scene.report("main-1", report(capabilities=(model.CAPABILITY_CHAT, model.CAPABILITY_TOOLS)))
    for _ in range(3):
        placed = scene.answer(capabilities=(model.CAPABILITY_TOOLS, model.CAPABILITY_CHAT))
        assert isinstance(placed, placement.Placement)
        assert placed.worker == "main-1"


def test_an_unknown_model_is_refused_with_those_there_are() -> None:
    refused = Scene().refusal(name="gpt-9")
    assert refused.reason_name == "MODEL_NOT_FOUND"
    assert refused.metadata == {"model": "gpt-9"}
    assert "there are: m." in refused.message


def test_what_no_worker_can_do_is_refused_with_the_field_that_asked_for_it() -> None:
    refused = Scene().refusal(capabilities=(model.CAPABILITY_CHAT, model.CAPABILITY_JSON_SCHEMA))
    assert refused.reason_name == "UNSUPPORTED"
    assert refused.metadata == {
        "field": "response_format",
        "model": "m",
        "provider": "main",
        "capability": "json_schema",
    }


def test_what_a_loading_worker_may_be_able_to_do_is_not_refused_for_good() -> None:
    scene = Scene(mesh_config(workers=2), healthy=False)
    scene.report("main-0")
    scene.report("main-1", _LOADING)
    assert scene.refusal(capabilities=(model.CAPABILITY_TOOLS,)).reason_name == "NO_HEALTHY_WORKER"


def test_nobody_there_is_refused_with_when_to_come_back() -> None:
    refused = Scene(healthy=False).refusal()
    assert (refused.reason_name, refused.retry_after) == ("NO_HEALTHY_WORKER", 1.0)
    assert refused.metadata == {"model": "m"}


def test_where_every_worker_is_full_the_next_ask_waits_and_where_nobody_may_it_is_refused() -> None:
    for most, scene in ((512, Scene(mesh_config(workers=2))), (0, Scene(mesh_config(workers=2, max_waiting=0)))):
        for name in ("main-0", "main-1"):
            scene.report(name, report(sequence=2, capacity=1, kind="echo"))
        for _ in range(2):
            scene.place()
        if most:
            assert scene.wait() == placement.Waiting(generation_id="generation-3", ahead=0)
        else:
            refused = scene.refusal()
            assert (refused.reason_name, refused.retry_after) == ("FLEET_SATURATED", 1.0)
        assert scene.leases() == {"main-0": 1, "main-1": 1}


def test_no_time_left_is_refused_as_such() -> None:
    refused = Scene().refusal(time_left=0.0)
    assert refused.reason_name == "DEADLINE_EXCEEDED"
    assert refused.metadata == {"stage": "placement"}


def test_a_refused_ask_leaves_nothing_behind() -> None:
    scene = Scene(healthy=False)
    scene.refusal()
    assert not scene.stream.generations


def test_first_content_is_smoothed_per_worker() -> None:
    scene = Scene(mesh_config(workers=1))
    scene.begin(scene.place(), 0.1)
    scene.begin(scene.place(), 0.2)
    (seen,) = scene.roster.snapshot(scene.now)
    assert seen.first_content_latency.ToNanoseconds() / 1e9 == pytest.approx(0.12)


def test_the_fleet_shows_leases_health_age_and_routes() -> None:
    scene = Scene(mesh_config(workers=1, fallback_workers=1))
    scene.place()
    scene.now += 0.5
    main, spare = scene.roster.snapshot(scene.now)
    assert (main.worker, main.address, main.leases) == ("main-0", "unix:run/worker-main-0.sock", 1)
    assert main.status_age.ToMilliseconds() == 500
    assert main.status == report()
    assert [(r.model, r.provider_model, r.fallback) for r in main.routes] == [("m", "pm", False)]
    assert [(r.model, r.provider_model, r.fallback) for r in spare.routes] == [("m", "ps", True)]
    assert not main.HasField("first_content_latency")


def test_the_fleet_s_version_grows_with_what_it_shows_and_with_nothing_else() -> None:
    scene = Scene(mesh_config(workers=1))
    version = scene.roster.version
    scene.report("main-0", report(sequence=2))
    assert scene.roster.version == version
    placed = scene.place()
    assert scene.roster.version > version
    version = scene.roster.version
    scene.end(placed)
    assert scene.roster.version > version
