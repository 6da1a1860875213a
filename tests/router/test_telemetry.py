"""What the router counts and logs."""

import structlog
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from prometheus_client import CollectorRegistry

from services.router.telemetry import Telemetry
from tests.router.scene import LOST, Scene, failed, mesh_config

_ROUTER = {"breaker": {"consecutive_failures": 1}}


def _scene() -> tuple[Scene, CollectorRegistry]:
    registry = CollectorRegistry()
    telemetry = Telemetry(registry)
    scene = Scene(mesh_config(workers=2, router=_ROUTER), observer=telemetry)
    telemetry.watch(scene.roster)
    return scene, registry


def test_placements_retries_outcomes_and_leases_are_counted() -> None:
    scene, registry = _scene()
    first = scene.place()
    second = scene.end(first, LOST)
    other = {"main-0": "main-1", "main-1": "main-0"}[first.worker]
    assert second is not None

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"hybrid_router_{name}", labels)

    by = {"strategy": "least_loaded", "role": "primary"}
    assert value("placements_total", **by, worker=first.worker, kind="first") == 1
    assert value("placements_total", **by, worker=other, kind="retry") == 1
    assert value("outcomes_total", strategy="least_loaded", worker=first.worker, outcome="hard") == 1
    assert value("leases", worker=other) == 1
    assert value("leases", worker=first.worker) == 0
    assert value("breaker_state", worker=first.worker) == 2
    assert value("worker_health", worker=first.worker, health="ejected") == 1
    assert value("worker_health", worker=first.worker, health="healthy") == 0


def test_a_model_has_as_many_workers_as_are_healthy() -> None:
    scene, registry = _scene()
    [model] = scene.roster.models
    assert registry.get_sample_value("hybrid_router_model_workers", {"model": model}) == 2
    scene.end(scene.place(), LOST)
    assert registry.get_sample_value("hybrid_router_model_workers", {"model": model}) == 1


def test_a_refusal_is_counted_by_reason_and_by_what_ended_the_attempts() -> None:
    scene, registry = _scene()
    scene.refusal(name="unknown")
    scene.end(scene.place(), failed(reasons.ERROR_REASON_CONTENT_POLICY))
    for reason, stop in (("MODEL_NOT_FOUND", ""), ("CONTENT_POLICY", "not_retryable")):
        assert registry.get_sample_value("hybrid_router_refusals_total", {"reason": reason, "stop": stop}) == 1


def test_a_reason_from_a_newer_peer_opens_no_series_of_its_own() -> None:
    registry = CollectorRegistry()
    Telemetry(registry).refused("m", "SOMETHING_NEW", "g", None)
    assert registry.get_sample_value("hybrid_router_refusals_total", {"reason": "UNSPECIFIED", "stop": ""}) == 1


def test_a_share_of_the_decisions_is_logged_with_their_terms_by_request() -> None:
    registry = CollectorRegistry()
    telemetry = Telemetry(registry, decision_share=0.25)
    scene = Scene(mesh_config(workers=2, router=_ROUTER), observer=telemetry)
    with structlog.testing.capture_logs() as logs:
        for number in range(400):
            scene.end(scene.place(generation_id=f"g-{number}"), LOST)
    told = [line for line in logs if line["event"] == "generation.decided"]
    by_request = {line["generation_id"] for line in told}
    assert 60 <= len(by_request) <= 140
    first = told[0]
    assert (first["model"], first["strategy"], first["targets"]) == ("m", "least_loaded", 2)
    assert first["candidates"][0].keys() >= {"worker", "provider_model", "score"}


def test_ends_refusals_and_changes_of_health_are_logged_and_placements_are_not() -> None:
    scene, _ = _scene()
    with structlog.testing.capture_logs() as logs:
        placed = scene.place()
        scene.begin(placed)
        assert not logs
        scene.end(placed)
        scene.refusal(name="unknown")
        scene.end(scene.place(), LOST, wanted=False)
    events = ["generation.finished", "generation.refused", "worker.health_changed", "generation.finished"]
    assert [line["event"] for line in logs] == events
    first = {name: logs[0][name] for name in ("generation_id", "model", "worker", "outcome", "attempts")}
    assert first == {
        "generation_id": placed.generation_id,
        "model": "m",
        "worker": placed.worker,
        "outcome": "success",
        "attempts": 1,
    }
    assert logs[1]["reason"] == "MODEL_NOT_FOUND"
    assert (logs[2]["health"], logs[2]["log_level"]) == ("ejected", "warning")
    assert logs[3]["outcome"] == "hard"


def test_first_content_is_observed() -> None:
    scene, registry = _scene()
    placed = scene.place()
    scene.begin(placed, 0.2)
    labels = {"worker": placed.worker}
    assert registry.get_sample_value("hybrid_router_first_content_seconds_sum", labels) == 0.2


def test_a_name_that_is_no_model_is_not_logged() -> None:
    scene, _ = _scene()
    with structlog.testing.capture_logs() as logs:
        scene.refusal(name="whatever a caller wrote")
    assert [line["model"] for line in logs] == ["other"]
