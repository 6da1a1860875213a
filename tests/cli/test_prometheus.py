"""What Prometheus is told: targets, and rules with their times divided."""

import json
from typing import Any

import pytest
import yaml

from services.cli import prometheus, rules
from services.cli.problem import Problem
from services.config.mesh import MeshConfig

BASE: dict[str, Any] = {
    "encrypted_network": True,
    "gateway": {"listen": "edge-1:7001"},
    "router": {"listen": "gpu-1:7002"},
    "providers": {"a": {"kind": "echo", "workers": ["gpu-1:7003"]}},
    "models": [{"name": "m", "routes": [{"provider": "a"}]}],
    "ledger": {"dsn": "postgresql://db/ledger"},
}
HOSTS = {"edge-1": ["envoy", "gateway", "admin"], "gpu-1": ["router", "a-0"]}


def config(**sections: Any) -> MeshConfig:
    return MeshConfig.model_validate({**BASE, **sections})


def where(found: list[dict[str, Any]]) -> dict[str, str]:
    """By process, its address."""
    return {one["labels"]["process"]: one["targets"][0] for one in found}


def test_a_target_has_its_role_as_job_and_its_name_as_process() -> None:
    found = json.loads(prometheus.encoded(prometheus.targets(config(metrics={"port": 9400}))))
    assert {"targets": ["127.0.0.1:9500"], "labels": {"job": "gateway", "process": "gateway"}} in found
    assert {"targets": ["127.0.0.1:9800"], "labels": {"job": "worker", "process": "a-0"}} in found
    assert {one["labels"]["job"] for one in found} == {"envoy", "admin", "gateway", "loader", "router", "worker"}


def test_on_several_hosts_a_process_is_at_the_name_of_its_own() -> None:
    everywhere = config(metrics={"port": 9400, "host": "0.0.0.0"}, hosts=HOSTS)
    found = where(prometheus.targets(everywhere))
    assert found["gateway"] == "edge-1:9500"
    assert found["loader"] == "edge-1:9600"
    assert found["router"] == "gpu-1:9700"
    assert set(where(prometheus.targets(everywhere, host="gpu-1"))) == {"router", "a-0"}


def test_what_listens_on_loopback_is_found_there() -> None:
    alone = config(metrics={"port": 9400}, hosts=HOSTS)
    assert where(prometheus.targets(alone, host="gpu-1"))["router"] == "127.0.0.1:9700"


def test_sockets_are_no_targets_and_the_way_out_is_said() -> None:
    with pytest.raises(Problem, match=r"set `metrics: \{port: 9400\}`"):
        prometheus.targets(config())


def test_a_host_that_nobody_named_is_said() -> None:
    with pytest.raises(Problem, match="no host `x`; there are: edge-1, gpu-1"):
        prometheus.targets(config(metrics={"port": 9400}, hosts=HOSTS), host="x")


def test_every_time_of_a_rule_is_divided_and_nothing_else() -> None:
    text = """
      - expr: rate(errors_total[5m]) > 0.05 and rate(x:rate5m[1h] offset 1d) * 60 > 3
        for: 10m
        keep_firing_for: 30s
        annotations: {summary: for 5m it went wrong}
    """
    assert rules.faster(text, 60) == (
        text.replace("[5m]", "[5000ms]")
        .replace("[1h] offset 1d", "[60000ms] offset 1440000ms")
        .replace("for: 10m", "for: 10000ms")
        .replace("for: 30s", "for: 500ms")
    )


def test_all_files_of_rules_are_one_that_can_be_read() -> None:
    read = yaml.safe_load(rules.shipped())
    assert len({group["name"] for group in read["groups"]}) == len(read["groups"]) > 0
