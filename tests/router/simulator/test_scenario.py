"""Scenarios and policies are read, and what is wrong with them is told."""

import pathlib
import re

import pytest

from services.chassis.config import ConfigError
from services.router.simulator import scenario, strategies
from services.router.simulator.mesh import simulate
from services.router.simulator.policy import Policy, PolicyError

_SMALL = "name: mine\nfleet:\n  - {name: gpu, workers: 2}\n"


def test_the_scenarios_that_come_with_it_can_be_read() -> None:
    names = scenario.built_in()
    assert names == ["decode", "equal", "gray_failure", "greedy", "hybrid", "mixed", "outage", "prefixes"]
    for name in names:
        found = scenario.load(name)
        assert found.name == name
        assert found.summary


def test_the_example_in_the_document_can_be_played(tmp_path: pathlib.Path) -> None:
    document = pathlib.Path("docs/simulator.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", document, re.DOTALL)
    path = tmp_path / "mine.yaml"
    path.write_text(example)
    found = scenario.load(str(path))
    assert [str(Policy.parse(text)) for text in found.policies] == ["least_loaded", "adaptive"]
    few = found.traffic.model_copy(update={"requests": 20})
    assert simulate(found.model_copy(update={"traffic": few}), "adaptive", 1).rows


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: mine\n", "neither a fleet nor a vendor"),
        (_SMALL + "  - {name: gpu, workers: 1}\n", "`gpu` is the name of two groups"),
        (_SMALL + "faults: [{kind: dies, worker: cpu-0, at_seconds: 1, seconds: 1}]\n", "no worker or group `cpu-0`"),
        (_SMALL + "tenants: [{key: a}, {key: a}]\n", "two tenants have the same key"),
        (_SMALL + "traffic: {rate: 0}\n", "mine.yaml:4: `traffic.rate`"),
        (_SMALL.replace("workers: 2", "workers: 2, engine: {blocks: 0}"), "mine.yaml:3: `fleet.0.engine.blocks`"),
        (_SMALL.replace("workers: 2", "workers: 2, engine: {block_tokens: 16}"), "blocks of the same size"),
        (_SMALL + "speed: 3\n", "speed"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: pathlib.Path, text: str, told: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        scenario.load(str(path))


def test_an_unknown_name_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no scenario `none`; there are decode, equal"):
        scenario.load("none")


def test_a_fault_names_a_worker_a_group_or_all(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(_SMALL + "  - {name: big, workers: 1}\nvendors: [{name: cloud}]\n")
    found = scenario.load(str(path))
    assert found.worker_names() == ["gpu-0", "gpu-1", "big-0", "cloud-0"]
    assert found.workers_of("gpu") == ["gpu-0", "gpu-1"]
    assert found.workers_of("gpu-1") == ["gpu-1"]
    assert found.workers_of("*") == found.worker_names()


def test_settings_are_changed_by_their_names() -> None:
    found = scenario.load("mixed").changed({"wiring.routers": 4, "fleet.1.speed": 0.5, "traffic.rate": 2})
    assert (found.wiring.routers, found.fleet[1].speed, found.traffic.rate) == (4, 0.5, 2.0)
    assert found.changed({}) == found


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("wiring.doors", 4, "no setting `wiring.doors`"),
        ("fleet.7.speed", 4, "no setting `fleet.7.speed`"),
        ("fleet.fast.speed", 4, "no setting `fleet.fast.speed`"),
        ("wiring.routers.count", 4, "no setting"),
        ("wiring.routers", 0, "greater than or equal to 1"),
    ],
)
def test_a_setting_that_there_is_not_is_told(name: str, value: object, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        scenario.load("mixed").changed({name: value})


def test_a_policy_is_a_name_and_settings() -> None:
    found = Policy.parse("adaptive:seconds_per_usd=5e2, affinity=0.1,learn=false,until=end")
    assert found.settings == (("affinity", 0.1), ("learn", False), ("seconds_per_usd", 500.0), ("until", "end"))
    assert Policy.parse(str(found)) == found
    assert Policy.parse("p2c") == ("p2c", ())


@pytest.mark.parametrize("text", ["", ":a=1", "adaptive:a", "adaptive:=1", "adaptive:a=[", "adaptive:a=1,b"])
def test_what_is_no_policy_is_told(text: str) -> None:
    with pytest.raises(PolicyError):
        Policy.parse(text)


@pytest.mark.parametrize(
    ("text", "told"), [("nobody", "no policy `nobody`; there are: adaptive"), ("mine:wrong=1", "unexpected keyword")]
)
def test_a_policy_that_nobody_has_is_told(text: str, told: str) -> None:
    def mine() -> strategies.Strategy:
        return strategies.Strategy()

    with pytest.raises(PolicyError, match=told):
        strategies.factory(Policy.parse(text), {"mine": mine})


@pytest.mark.parametrize("text", ["round_robin:depth=3", "adaptive:affinity=2", "adaptive:affinity=much"])
def test_settings_that_a_strategy_does_not_have_are_told(text: str) -> None:
    with pytest.raises(PolicyError, match="`"):
        strategies.settings(Policy.parse(text))
