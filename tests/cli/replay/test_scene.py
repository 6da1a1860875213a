"""The scenario of a model: the simulator takes it, and what it takes for granted is said."""

import dataclasses
import pathlib

import yaml

from services.cli.replay.scene import Scene, policy, scene
from services.config import strategy
from services.config.mesh import MeshConfig
from services.router.simulator import mesh as simulator
from services.router.simulator.scenario import Scenario, load
from tests.cli.replay.test_fit import engine_attempts, vendor_attempts

CONFIG = MeshConfig.model_validate(
    {
        "providers": {
            "Local-1": {"kind": "echo", "models": ["m"], "workers": 3},
            "v": {"kind": "openai", "api_keys": ["k"], "models": [{"name": "m"}]},
        },
        "models": [
            {
                "name": "m",
                "aliases": ["n"],
                "strategy": {"name": "latency", "first_content_weight": 2.0},
                "routes": [
                    {"provider": "Local-1"},
                    {"provider": "v", "role": "fallback", "price": {"input": 0.5, "output": 2.0}},
                    {"provider": "v", "role": "canary", "share": 0.1},
                ],
                "queue": {"max_waiting": 7},
            },
            {"name": "other", "routes": [{"provider": "Local-1"}]},
        ],
        "flags": {"hedging": {"share": 0.5, "models": ["other"]}},
        "router": {"retry": {"max_attempts": 2}},
    }
)
MODEL = CONFIG.models[0]


def made() -> Scene:
    engines = engine_attempts(200, step=0.01, sequence=0.001, prompt_token=1e-4)
    attempts = [dataclasses.replace(one, provider="Local-1") for one in engines]
    return scene(CONFIG, MODEL, [*attempts, *vendor_attempts(40, failing=10)], {"Local-1-0": 16}, seeds=2)


def taken(tmp_path: pathlib.Path, one: Scene) -> Scenario:
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump(one.scenario))
    return load(str(file))


def test_the_simulator_takes_it_with_speeds_prices_and_settings(tmp_path: pathlib.Path) -> None:
    found = taken(tmp_path, made())
    (group,), (vendor,) = found.fleet, found.vendors
    assert (group.name, group.workers, group.engine.max_sequences) == ("local_1", 3, 16)
    assert abs(group.engine.step_seconds + 4 * group.engine.sequence_seconds - 0.014) < 0.002
    assert found.wiring.network_seconds == 0.001
    assert (vendor.name, vendor.role, vendor.price.output) == ("v", "fallback", 2.0)
    assert (vendor.model.first_seconds, vendor.model.error_share) == (0.6, 0.2) or abs(
        vendor.model.first_seconds - 0.6
    ) < 1e-6
    assert (found.queue.max_waiting, found.router.retry.max_attempts, found.seeds) == (7, 2, 2)
    assert found.flags.hedging.share == 0, "of another model alone"


def test_what_is_assumed_is_said() -> None:
    said = "\n".join(made().assumed)
    assert "Local-1: 3 equal engines" in said
    assert "v: a vendor, first content after 0.6 s, 50 tokens a second, 20.0% of attempts fail (by 50)" in said
    assert "the canary route over v is left out" in said
    nothing = "\n".join(scene(CONFIG, MODEL, [], {}, seeds=1).assumed)
    assert nothing.count("there are fewer than 20 answers to go by") == 2


def test_it_can_be_played(tmp_path: pathlib.Path) -> None:
    one = scene(CONFIG, MODEL, [], {}, seeds=1)
    one.scenario["traffic"]["generated"] = {"requests": 20}
    assert simulator.simulate(taken(tmp_path, one), policy(MODEL.strategy), 1).rows


def test_a_strategy_is_named_with_what_is_not_its_default() -> None:
    assert policy(MODEL.strategy) == "latency:first_content_weight=2.0"
    assert policy(strategy.LeastLoaded()) == "least_loaded"
