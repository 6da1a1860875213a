"""Workers that keep failing are left alone, but never too many of them."""

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.router.v1 import placement_pb2 as placement

from tests.router.scene import LOST, Scene, failed, mesh_config, report

_QUICK = {"breaker": {"consecutive_failures": 2, "open_seconds": 1.0}}


def _fail_on(scene: Scene, worker: str, times: int) -> None:
    """Make that many attempts on a worker fail; attempts elsewhere go well."""
    while times:
        placed = scene.place()
        if placed.worker == worker:
            scene.end(placed, LOST, wanted=False)
            times -= 1
        else:
            scene.end(placed)


def test_a_worker_that_keeps_failing_is_ejected_and_comes_back_through_one_probe() -> None:
    scene = Scene(mesh_config(workers=2, router=_QUICK))
    _fail_on(scene, "main-0", 2)
    assert scene.health("main-0") == "EJECTED"
    assert {scene.place().worker for _ in range(4)} == {"main-1"}
    scene.now += 1.3
    probe = scene.place()
    assert probe.worker == "main-0", "the idler of the two"
    assert {scene.place().worker for _ in range(4)} == {"main-1"}
    scene.begin(probe)
    assert scene.health("main-0") == "HEALTHY"


def test_a_failed_probe_keeps_the_worker_out_for_longer() -> None:
    scene = Scene(mesh_config(workers=2, router=_QUICK))
    _fail_on(scene, "main-0", 2)
    scene.now += 1.3
    _fail_on(scene, "main-0", 1)
    scene.now += 1.3
    assert {scene.place().worker for _ in range(4)} == {"main-1"}


def test_a_probe_whose_gateway_goes_away_makes_room_for_another() -> None:
    scene = Scene(mesh_config(workers=2, router=_QUICK))
    _fail_on(scene, "main-0", 2)
    scene.now += 1.3
    assert [scene.place().worker for _ in range(4)].count("main-0") == 1
    scene.decider.on_stream_end(scene.stream)
    scene.stream = scene.decider.on_stream("gateway", ())
    assert [scene.place().worker for _ in range(4)].count("main-0") == 1


def test_the_only_worker_of_a_model_is_never_ejected() -> None:
    scene = Scene(mesh_config(workers=1, router=_QUICK))
    _fail_on(scene, "main-0", 20)
    assert scene.place().worker == "main-0"
    assert scene.health("main-0") == "HEALTHY"


def test_an_only_primary_worker_is_ejected_where_a_fallback_is_left() -> None:
    scene = Scene(mesh_config(workers=1, fallback_workers=1, router=_QUICK))
    _fail_on(scene, "main-0", 2)
    assert scene.place().worker == "spare-0"


def test_never_more_than_half_the_pool_is_ejected() -> None:
    scene = Scene(mesh_config(workers=5, router=_QUICK))
    for _ in range(200):
        scene.end(scene.place(), LOST, wanted=False)
    healths = [scene.health(name) for name in scene.roster.workers]
    assert healths.count("EJECTED") == 2


def test_a_restarted_worker_is_no_longer_ejected_and_makes_room_for_another_to_be() -> None:
    scene = Scene(mesh_config(workers=2, router=_QUICK))
    _fail_on(scene, "main-0", 2)
    scene.report("main-0", report(epoch=2))
    assert scene.health("main-0") == "HEALTHY"
    _fail_on(scene, "main-1", 2)
    assert scene.health("main-1") == "EJECTED"


def test_attempts_on_the_old_process_say_nothing_of_the_new_one() -> None:
    scene = Scene(mesh_config(workers=2, router=_QUICK))
    old = [placed for placed in (scene.place() for _ in range(8)) if placed.worker == "main-0"]
    scene.report("main-0", report(epoch=2))
    for placed in old:
        scene.end(placed, LOST, wanted=False)
    assert scene.health("main-0") == "HEALTHY"


def test_neither_limits_nor_the_caller_s_errors_eject_anybody() -> None:
    scene = Scene(mesh_config(workers=2, router=_QUICK))
    for reason in (reasons.ERROR_REASON_SPEC_INVALID, reasons.ERROR_REASON_CANCELLED):
        for _ in range(20):
            scene.end(scene.place(), failed(reason), wanted=False)
    for _ in range(20):
        scene.end(scene.place(), failed(reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, retry_after=1), wanted=False)
        scene.now += 1.0
        for name in scene.roster.workers:
            scene.report(name)
    assert {scene.health("main-0"), scene.health("main-1")} == {"HEALTHY"}


def test_when_nobody_is_left_the_caller_hears_when_the_first_is_tried_again() -> None:
    scene = Scene(mesh_config(workers=2, router=_QUICK))
    _fail_on(scene, "main-0", 2)
    scene.roster.on_lost("main-1")
    refused = scene.refusal()
    assert refused.reason_name == "NO_HEALTHY_WORKER"
    assert refused.retry_after is not None
    assert 0 < refused.retry_after <= 1.2
    scene.now += refused.retry_after
    answer = scene.answer()
    assert isinstance(answer, placement.Placement)
    assert answer.worker == "main-0"
