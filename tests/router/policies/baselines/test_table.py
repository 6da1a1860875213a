"""The baselines as the simulator gets them, and in a router."""

import pytest

from services.router.policies.baselines.lmetric import LMetric
from services.router.policies.baselines.table import BASELINES, baseline
from services.router.roster import Roster
from tests.router.policies.targets import request
from tests.router.scene import LOST, Scene, mesh_config, report


def test_a_baseline_is_made_by_name_with_its_parameters() -> None:
    assert isinstance(baseline("lmetric", detect=True), LMetric)


def test_a_name_or_parameter_that_there_is_not_is_refused_with_what_there_is() -> None:
    with pytest.raises(ValueError, match="there are p2c, peak_ewma, prequal, bounded_hash"):
        baseline("p3c")
    with pytest.raises(ValueError, match="baseline p2c"):
        baseline("p2c", choices=3)


def _scene(name: str, monkeypatch: pytest.MonkeyPatch) -> Scene:
    defaults = {**Roster.__init__.__kwdefaults__, "new_strategy": lambda chosen: baseline(name)}
    monkeypatch.setattr(Roster.__init__, "__kwdefaults__", defaults)
    return Scene(mesh_config(workers=4))


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_lives_in_a_router_through_all_that_happens(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = _scene(name, monkeypatch)
    for turn in range(200):
        scene.now += 0.05
        placed = scene.place()
        assert placed.strategy == name
        match turn % 5:
            case 0:
                scene.end(placed, LOST)
            case 1:
                scene.decider.on_withdrawal(scene.stream, placed.generation_id)
            case 2:
                scene.report(placed.worker, report(epoch=turn + 2))
            case _:
                scene.begin(placed)
                scene.end(placed)
    scene.decider.on_stream_end(scene.stream)
    assert set(scene.leases().values()) == {0}


def test_a_strategy_hears_of_attempts_that_vanish(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = _scene("dynamo_linear", monkeypatch)
    for _ in range(8):
        placed = scene.place()
    scene.decider.on_withdrawal(scene.stream, placed.generation_id)
    scene.decider.on_stream_end(scene.stream)
    pool = scene.roster.models["m"]
    for target in pool.targets:
        score = pool.strategy.score(request(pool, input_tokens=64), target, scene.now)
        assert score is not None
        assert score.terms["decode_blocks"] == 1
