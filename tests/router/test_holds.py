"""How long a worker, or one of its models, is left alone because it asked for that."""

import itertools

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import worker_status_pb2 as worker_status

from services.config.mesh import MeshConfig
from services.router.faults import Kind, Verdict
from services.router.holds import Holds
from tests.router.scene import CHAT, Scene, failed, mesh_config, report

_LIMITED = failed(reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, retry_after=7)


def test_a_rate_limit_holds_the_model_and_all_else_the_worker() -> None:
    holds = Holds()
    holds.add(Verdict(Kind.RATE, retry_after=7.0), 10.0, "a")
    assert (holds.of("a"), holds.of("b")) == (17.0, 0.0)
    holds.add(Verdict(Kind.AWAY, retry_after=2.0), 10.0, "a")
    assert (holds.of("a"), holds.of("b")) == (17.0, 12.0)


def test_a_shorter_wish_does_not_shorten_a_longer_one() -> None:
    holds = Holds()
    holds.add(Verdict(Kind.RATE, retry_after=7.0), 10.0, "a")
    holds.add(Verdict(Kind.RATE, retry_after=1.0), 10.0, "a")
    assert holds.of("a") == 17.0


@pytest.mark.parametrize(
    ("verdict", "room"),
    [
        (Verdict(Kind.RATE, retry_after=4.0), True),
        (Verdict(Kind.AWAY, "WORKER_SATURATED", 4.0), True),
        (Verdict(Kind.AWAY, "WORKER_LOADING", 4.0), False),
        (Verdict(Kind.HARD, retry_after=4.0), False),
    ],
)
def test_limits_and_full_workers_are_want_of_room_while_they_last(verdict: Verdict, room: bool) -> None:
    holds = Holds()
    holds.add(verdict, 10.0, "a")
    assert holds.limited("a", 13.9) is room
    assert not holds.limited("a", 14.0)


def _two_models() -> MeshConfig:
    routes = [{"name": name, "routes": [{"provider": "main", "model": f"p{name}"}]} for name in ("m", "n")]
    return MeshConfig.model_validate(
        {"providers": {"main": {"kind": "echo", "models": ["pm", "pn"]}}, "models": routes}
    )


def test_a_limit_of_one_model_leaves_the_worker_s_other_models_alone() -> None:
    scene = Scene(_two_models(), healthy=False)
    served = [worker_status.WorkerModel(name=name, capabilities=CHAT) for name in ("pm", "pn")]
    status = report()
    del status.models[:]
    status.models.extend(served)
    scene.report("main-0", status)
    limited = failed(
        reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, retry_after=20.0
    )  # longer than anybody waits in the queue
    scene.end(scene.place(), limited, wanted=False)
    refused = scene.refusal()
    assert (refused.reason_name, refused.retry_after) == ("FLEET_SATURATED", 20.0)
    assert scene.answer(name="n").worker == "main-0"  # type: ignore[union-attr]
    scene.now += 20.0
    scene.place()


def test_in_a_storm_of_limits_nothing_goes_there_until_it_is_time_and_others_serve() -> None:
    scene = Scene(mesh_config(workers=2, router={"retry": {"budget_ratio": 9.0}}))
    limited_at: list[float] = []
    for _ in range(400):
        placed = scene.place()
        if placed.worker == "main-0":
            limited_at.append(scene.now)
            placed = scene.end(placed, _LIMITED)  # type: ignore[assignment]
            assert placed.worker == "main-1"
        scene.begin(placed)
        scene.end(placed)
        scene.now += 0.05
        scene.report("main-0")
        scene.report("main-1")
    gaps = [after - before for before, after in itertools.pairwise(limited_at)]
    assert len(gaps) >= 2
    assert all(7.0 <= gap <= 7.5 for gap in gaps)
