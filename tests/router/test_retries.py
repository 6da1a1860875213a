"""What follows a failed attempt."""

import random

import pytest
from google.protobuf import duration_pb2
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.router.v1 import placement_pb2 as placement

from services.config.router import Retry
from services.router import retries
from tests.router.scene import LOST, Scene, failed, mesh_config, report, told

_LIMITED = failed(reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, retry_after=30.0)


def _next(answer: object) -> placement.Placement:
    assert isinstance(answer, placement.Placement), answer
    return answer


def _delay(placed: placement.Placement) -> float:
    return placed.delay.ToNanoseconds() / 1e9


def test_a_failed_attempt_goes_at_once_to_a_worker_that_has_not_been_tried() -> None:
    scene = Scene(mesh_config(workers=3))
    first = scene.place()
    second = _next(scene.end(first, LOST))
    third = _next(scene.end(second, LOST))
    assert {first.worker, second.worker, third.worker} == {"main-0", "main-1", "main-2"}
    assert [first.number, second.number, third.number] == [1, 2, 3]
    assert len({first.attempt_id, second.attempt_id, third.attempt_id}) == 3
    assert [_delay(second), _delay(third)] == [0.0, 0.0]
    assert scene.leases() == {first.worker: 0, second.worker: 0, third.worker: 1}


def test_after_the_last_attempt_the_caller_sees_its_reason_and_when_to_come_back() -> None:
    scene = Scene(mesh_config(workers=3))
    second = _next(scene.end(scene.place(), failed(reasons.ERROR_REASON_ENGINE_FAILED)))
    third = _next(scene.end(second, failed(reasons.ERROR_REASON_WORKER_LOST)))
    failure = told(scene.end(third, failed(reasons.ERROR_REASON_PROVIDER_OVERLOADED, provider="x")))
    assert (failure.reason_name, failure.metadata, failure.retry_after) == (
        "PROVIDER_OVERLOADED",
        {"provider": "x"},
        1.0,
    )
    assert scene.decider.leases == 0
    assert not scene.stream.generations


def test_the_only_worker_is_tried_again_after_a_backoff_that_doubles() -> None:
    scene = Scene(mesh_config(workers=1))
    second = _next(scene.end(scene.place(), LOST))
    third = _next(scene.end(second, LOST))
    assert 0.04 <= _delay(second) <= 0.06
    assert 0.08 <= _delay(third) <= 0.12


def test_a_retry_waits_for_a_busy_worker_rather_than_go_back_to_the_one_that_failed() -> None:
    scene = Scene(mesh_config(workers=2))
    for name in ("main-0", "main-1"):
        scene.report(name, report(sequence=2, capacity=1, kind="echo"))
    first, second = scene.place(), scene.place()
    waits = scene.end(first, LOST)
    assert isinstance(waits, placement.Waiting)
    assert not scene.released()
    scene.end(second)
    (third,) = scene.released()
    assert (_next(third).generation_id, _next(third).worker, _next(third).number) == ("generation-1", second.worker, 2)


def test_a_retry_that_waited_in_vain_ends_with_the_reason_of_the_attempt_before() -> None:
    scene = Scene(mesh_config(workers=2))
    for name in ("main-0", "main-1"):
        scene.report(name, report(sequence=2, capacity=1, kind="echo"))
    first, second = scene.place(), scene.place()
    scene.end(first, failed(reasons.ERROR_REASON_ENGINE_FAILED))
    scene.now += 61.0
    (refused,) = scene.released()
    assert told(refused).reason_name == "ENGINE_FAILED"
    assert scene.end(second) is None


def test_the_only_worker_that_was_full_is_waited_for_until_it_reports_room() -> None:
    scene = Scene(mesh_config(workers=1))
    scene.report("main-0", report(sequence=2, capacity=2, kind="echo"))
    waits = scene.end(scene.place(), failed(reasons.ERROR_REASON_WORKER_SATURATED, retry_after=1.0))
    assert isinstance(waits, placement.Waiting)
    scene.report("main-0", report(sequence=3, capacity=2, running=2, kind="echo"))
    assert not scene.released()
    scene.report("main-0", report(sequence=4, capacity=2, running=1, kind="echo"))
    (again,) = scene.released()
    assert (_next(again).worker, _next(again).number) == ("main-0", 2)


def test_fallback_routes_follow_the_primary_ones_before_anybody_is_tried_twice() -> None:
    scene = Scene(mesh_config(workers=1, fallback_workers=1))
    first = scene.place()
    second = _next(scene.end(first, LOST))
    third = _next(scene.end(second, LOST))
    assert [first.worker, second.worker, third.worker] == ["main-0", "spare-0", "main-0"]


@pytest.mark.parametrize(
    "reason",
    [
        reasons.ERROR_REASON_SPEC_INVALID,
        reasons.ERROR_REASON_CONTENT_POLICY,
        reasons.ERROR_REASON_PROVIDER_REJECTED,
        reasons.ERROR_REASON_CANCELLED,
        reasons.ERROR_REASON_SLOW_CONSUMER,
    ],
)
def test_the_caller_s_own_errors_are_not_retried(reason: reasons.ErrorReason) -> None:
    scene = Scene(mesh_config(workers=3))
    failure = told(scene.end(scene.place(), failed(reason)))
    assert failure.reason == reason
    assert failure.retry_after is None


def test_a_stream_that_has_begun_is_not_retried() -> None:
    scene = Scene(mesh_config(workers=3))
    assert scene.end(scene.place(), LOST, committed=True) is None
    placed = scene.place()
    scene.begin(placed)
    assert told(scene.end(placed, LOST)).reason_name == "WORKER_LOST"


def test_an_answer_that_nobody_wants_is_not_retried() -> None:
    scene = Scene(mesh_config(workers=3))
    assert scene.end(scene.place(), LOST, wanted=False) is None
    assert not scene.stream.generations


def test_a_rate_limited_worker_is_left_alone_for_as_long_as_it_asked() -> None:
    scene = Scene(mesh_config(workers=2))
    limited = scene.place()
    other = _next(scene.end(limited, _LIMITED))
    assert other.worker != limited.worker
    assert {scene.place().worker for _ in range(5)} == {other.worker}
    assert scene.health(limited.worker) == "HEALTHY"
    scene.now += 30.0
    assert scene.place().worker == limited.worker


def test_where_every_worker_is_rate_limited_the_caller_hears_for_how_long() -> None:
    scene = Scene(mesh_config(workers=1))
    failure = told(scene.end(scene.place(), _LIMITED))
    assert (failure.reason_name, failure.retry_after) == ("PROVIDER_RATE_LIMITED", 30.0)
    scene.now += 10.0
    refused = scene.refusal()
    assert (refused.reason_name, refused.retry_after) == ("FLEET_SATURATED", 20.0)


def test_a_retry_after_that_ends_within_the_backoff_is_waited_for() -> None:
    scene = Scene(mesh_config(workers=1))
    soon = failed(reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, retry_after=0.03)
    assert _delay(_next(scene.end(scene.place(), soon))) >= 0.04


def test_a_retry_that_would_begin_after_the_deadline_is_not_made() -> None:
    scene = Scene(mesh_config(workers=1))
    assert told(scene.end(scene.place(time_left=0.03), LOST)).reason_name == "WORKER_LOST"
    assert _next(scene.end(scene.place(time_left=10.0), LOST)).number == 2


def test_the_time_left_that_an_outcome_tells_replaces_what_the_ask_told() -> None:
    scene = Scene(mesh_config(workers=1))
    assert told(scene.end(scene.place(time_left=10.0), LOST, time_left=0.01)).reason_name == "WORKER_LOST"


def test_an_outage_is_not_amplified_beyond_the_budget() -> None:
    scene = Scene(mesh_config(workers=2, router={"breaker": {"consecutive_failures": 10**6}}))
    attempts = 0
    for _ in range(1000):
        answer: object = scene.answer()
        while isinstance(answer, placement.Placement):
            attempts += 1
            answer = scene.end(answer, LOST)
        scene.now += 0.01
    assert 1150 <= attempts <= 1200


def test_a_generation_that_began_before_the_router_is_not_retried_but_answered() -> None:
    scene = Scene(mesh_config(workers=2))
    lease = placement.RunningLease(attempt_id="old", generation_id="g", worker="main-0", model="m")
    scene.stream = scene.decider.on_stream("gateway", [lease])
    answer = scene.end(placement.Placement(attempt_id="old"), LOST)
    assert told(answer).reason_name == "WORKER_LOST"


def test_a_drained_worker_s_refusal_moves_the_request_and_counts_for_no_sickness() -> None:
    scene = Scene(mesh_config(workers=2, router={"breaker": {"consecutive_failures": 1}}))
    first = scene.place()
    second = _next(scene.end(first, failed(reasons.ERROR_REASON_WORKER_DRAINING)))
    assert second.worker != first.worker
    assert scene.health(first.worker) == "HEALTHY"


def test_the_backoff_never_exceeds_its_limit() -> None:
    settings, rng = Retry(backoff_ms=50, backoff_max_ms=1000), random.Random(1)
    pauses = [retries.backoff(attempts, settings, rng) for attempts in range(1, 5000)]
    assert max(pauses) == 1.0
    assert all(pause >= 0.04 for pause in pauses)


def test_no_delay_is_no_delay_on_the_wire() -> None:
    scene = Scene(mesh_config(workers=2))
    assert _next(scene.end(scene.place(), LOST)).delay == duration_pb2.Duration()


def test_a_failing_worker_that_says_when_to_come_back_is_no_full_one() -> None:
    scene = Scene(mesh_config(workers=1))
    away = failed(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE, retry_after=20.0)
    assert told(scene.end(scene.place(), away)).reason_name == "PROVIDER_UNAVAILABLE"
    scene.now += 5.0
    refused = scene.refusal()
    assert (refused.reason_name, refused.retry_after) == ("NO_HEALTHY_WORKER", 15.0)
