"""When fallbacks serve, and canaries, and who is told that no route fits."""

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.router.v1 import placement_pb2 as placement
from prometheus_client import CollectorRegistry

from services.config.mesh import MeshConfig
from services.router.knowledge.prediction import Prediction
from services.router.request import Request
from services.router.target import Target
from services.router.telemetry import Telemetry
from tests.router.scene import CHAT, LOST, Scene, failed, mesh_config, report, told

_BUSY = failed(reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, retry_after=5.0)


def _scene(**settings: object) -> Scene:
    scene = Scene(mesh_config(workers=1, fallback_workers=1, **settings))  # type: ignore[arg-type]
    scene.report("main-0", report(sequence=2, capacity=2, kind="echo"))
    scene.report("spare-0", report(sequence=2, kind="openai"))
    return scene


def _roles(**shares: float) -> Scene:
    providers = {name: {"kind": "echo", "models": ["pm"]} for name in ("main", *shares)}
    routes: list[dict[str, object]] = [{"provider": "main", "tags": ["eu"], "price": {"input": 1, "output": 10}}]
    routes += [{"provider": name, "role": "canary", "share": share} for name, share in shares.items()]
    return Scene(MeshConfig.model_validate({"providers": providers, "models": [{"name": "m", "routes": routes}]}))


def test_what_would_have_to_wait_spills_and_comes_back_when_there_is_room() -> None:
    scene = _scene()
    first, _ = scene.place(), scene.place()
    assert [scene.place().worker for _ in range(3)] == ["spare-0"] * 3
    scene.end(first)
    assert [scene.place().worker for _ in range(2)] == ["main-0", "spare-0"]


def test_what_would_begin_too_late_spills_where_the_fallback_is_in_time() -> None:
    scene = _scene(slo=1.0)
    expected = {"main-0": 0.5, "spare-0": 0.8}

    def predict(request: Request, target: Target, now: float) -> Prediction:
        return Prediction(0.0, expected[target.worker.name], 0.0)

    scene.roster.pools["m"].predict = predict
    scene.place()
    assert scene.place().worker == "main-0"
    scene.end(placement.Placement(attempt_id="attempt-1"))
    expected["main-0"] = 1.5
    assert scene.place().worker == "spare-0"
    expected["spare-0"] = 1.2
    assert scene.place().worker == "main-0", "late both: then rather at home"
    scene.end(placement.Placement(attempt_id="attempt-2"))
    expected["main-0"] = 0.5
    assert scene.place().worker == "main-0"


def test_a_pinned_request_goes_to_its_worker_whatever_that_serves_as() -> None:
    scene = _scene()
    ask = placement.PlacementAsk(generation_id="g", model="m", capabilities=CHAT, worker="spare-0")
    answer = scene.decider.on_ask(scene.stream, ask, scene.now)
    assert isinstance(answer, placement.Placement)
    assert answer.worker == "spare-0"


def test_a_request_may_be_pinned_to_a_canary_that_it_does_not_fall_to() -> None:
    scene = _roles(new=0.001)
    ask = placement.PlacementAsk(generation_id="g", model="m", capabilities=CHAT, worker="new-0")
    answer = scene.decider.on_ask(scene.stream, ask, scene.now)
    assert isinstance(answer, placement.Placement)
    assert answer.worker == "new-0"


def test_a_pinned_request_waits_for_its_worker_while_others_pass() -> None:
    scene = _scene()
    pinned = placement.PlacementAsk(generation_id="g", model="m", capabilities=CHAT, worker="main-0")
    first, _ = scene.place(), scene.place()
    assert isinstance(scene.decider.on_ask(scene.stream, pinned, scene.now), placement.Waiting)
    assert scene.place().worker == "spare-0"
    scene.end(first)
    (answer,) = scene.released()
    assert (answer.generation_id, answer.worker) == ("g", "main-0")  # type: ignore[union-attr]


def test_a_canary_is_given_its_share_and_always_the_same_requests() -> None:
    scene = _roles(new=0.2, newer=0.1)
    went = {f"g-{number}": scene.place(generation_id=f"g-{number}").provider for number in range(3000)}
    shares = {name: list(went.values()).count(name) / len(went) for name in ("main", "new", "newer")}
    assert shares == pytest.approx({"main": 0.7, "new": 0.2, "newer": 0.1}, abs=0.03)
    assert all(scene.place(generation_id=name).provider == provider for name, provider in went.items())


def test_a_canary_that_fails_or_is_away_is_followed_by_a_primary_route() -> None:
    scene = _roles(new=1.0)
    placed = scene.place()
    assert placed.provider == "new"
    again = scene.end(placed, LOST)
    assert isinstance(again, placement.Placement)
    assert again.provider == "main"
    scene.roster.on_lost("new-0")
    assert scene.place().provider == "main"


def test_a_short_hold_is_waited_for_a_long_one_is_not() -> None:
    scene = Scene(mesh_config(workers=1))
    scene.report("main-0", report(sequence=2, kind="openai"))
    assert told(scene.end(scene.place(), _BUSY)).retry_after == 5.0
    scene.wait()
    assert scene.decider.wake_at() is not None
    assert scene.refusal(time_left=3.0).reason_name == "FLEET_SATURATED"
    scene.now += 5.0
    (answer,) = scene.released()
    assert isinstance(answer, placement.Placement)
    scene.end(answer, failed(reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, retry_after=50.0))
    refused = scene.refusal()
    assert (refused.reason_name, refused.retry_after) == ("FLEET_SATURATED", 50.0)


def test_those_that_waited_for_a_hold_are_let_go_little_by_little() -> None:
    scene = Scene(mesh_config(workers=1))
    scene.report("main-0", report(sequence=2, kind="openai"))
    scene.end(scene.place(), _BUSY)
    for _ in range(40):
        scene.wait()
    scene.now += 5.0
    portions = []
    while (wakes := scene.decider.wake_at()) is not None:
        scene.now = max(scene.now, wakes)
        portions.append(len(scene.released()))
    assert portions == [4, 8, 16, 12]


def test_those_who_wait_for_workers_that_are_gone_are_told_so() -> None:
    scene = Scene(mesh_config(workers=1))
    scene.report("main-0", report(sequence=2, capacity=1, kind="echo"))
    scene.place()
    scene.wait()
    scene.wait()
    scene.roster.on_lost("main-0")
    assert [told(answer).reason_name for answer in scene.released()] == ["NO_HEALTHY_WORKER"] * 2
    assert scene.decider.wake_at() is None
    assert list(scene.stream.generations) == ["generation-1"]


@pytest.mark.parametrize(
    ("asked", "reason", "named"),
    [
        ({"worker": "gone-0"}, "SPEC_INVALID", {"field": "routing.worker"}),
        ({"providers": ["other"]}, "PERMISSION_DENIED", {"scope": "providers"}),
        ({"tags": ["eu", "us"]}, "SPEC_INVALID", {"field": "routing.tags"}),
        ({"max_cost_nano_usd": 1_000_000, "tags": ["eu"]}, "SPEC_INVALID", {"field": "routing.max_cost_nano_usd"}),
    ],
)
def test_what_no_route_fits_is_refused_with_what_stands_in_the_way(
    asked: dict[str, object], reason: str, named: dict[str, str]
) -> None:
    scene = _roles()
    ask = placement.PlacementAsk(
        generation_id="g",
        model="m",
        capabilities=CHAT,
        input_tokens=1000,
        max_output_tokens=100,
        **asked,  # type: ignore[arg-type]
    )
    failure = told(scene.decider.on_ask(scene.stream, ask, scene.now))
    assert (failure.reason_name, failure.metadata, failure.retry_after) == (reason, named, None)


def test_the_least_that_a_request_may_cost_is_told() -> None:
    scene = _roles()
    ask = placement.PlacementAsk(
        generation_id="g", model="m", capabilities=CHAT, input_tokens=1000, max_output_tokens=100, max_cost_nano_usd=5
    )
    assert "may come to 2000000;" in told(scene.decider.on_ask(scene.stream, ask, scene.now)).message


def test_what_spilled_what_waits_and_what_was_shed_is_told_to_whoever_counts() -> None:
    registry = CollectorRegistry()
    telemetry = Telemetry(registry)
    config = mesh_config(workers=1, fallback_workers=1, max_waiting=1)
    scene = Scene(config, observer=telemetry)
    telemetry.watch(scene.roster, clock=lambda: scene.now)
    for name in ("main-0", "spare-0"):
        scene.report(name, report(sequence=2, capacity=1, kind="echo"))
    for _ in range(2):
        scene.place()
    scene.wait()
    scene.now += 3.0
    scene.refusal()

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"hybrid_router_{name}", labels)

    assert value("spills_total", model="m", provider="spare") == 1
    assert value("waiting", model="m") == 1
    assert value("waiting_oldest_seconds", model="m") == 3.0
    assert value("sheds_total", model="m", reason="FLEET_SATURATED", criticality="critical") == 1
