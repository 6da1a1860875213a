"""Prometheus and Alertmanager beside a mesh: what they are given, and what is said where they cannot be."""

import json
import pathlib
from typing import Any

import pytest
import yaml

from services.cli import observability
from services.cli.home import Home
from services.cli.problem import Problem
from services.config.mesh import MeshConfig

BASE: dict[str, Any] = {
    "metrics": {"port": 9400},
    "observability": {"prometheus_port": 19090, "alertmanager_port": 19093},
    "providers": {"a": {"kind": "echo"}},
    "models": [{"name": "m", "routes": [{"provider": "a"}]}],
}


@pytest.fixture
def home(tmp_path: pathlib.Path) -> Home:
    return Home(tmp_path)


def config(**sections: Any) -> MeshConfig:
    return MeshConfig.model_validate({**BASE, **sections})


def test_prometheus_reads_all_rules_and_targets_and_tells_the_alertmanager_beside_it(home: Home) -> None:
    observability.prepare(config(), home)
    directory = home.path / "observability"
    settings = yaml.safe_load((directory / "prometheus.yml").read_text())
    assert settings["rule_files"] == ["rules.yml"]
    assert settings["alerting"]["alertmanagers"] == [{"static_configs": [{"targets": ["127.0.0.1:19093"]}]}]
    jobs = {job["job_name"]: job for job in settings["scrape_configs"]}
    assert jobs["mesh"]["file_sd_configs"] == [{"files": ["targets.json"]}]
    assert jobs["prometheus"]["static_configs"] == [{"targets": ["127.0.0.1:19090"]}]
    assert {one["labels"]["process"] for one in json.loads((directory / "targets.json").read_text())} >= {
        "envoy",
        "a-0",
    }
    assert "page" in (directory / "alertmanager.yml").read_text()


def test_processes_without_ports_cannot_be_watched(home: Home) -> None:
    with pytest.raises(Problem, match="set `metrics"):
        observability.prepare(config(metrics={}), home)


def test_what_is_not_installed_is_named_with_what_installs_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(home.path))
    with pytest.raises(Problem, match="apt-get install prometheus prometheus-alertmanager"):
        observability.specs(config(), home, {})


def test_both_listen_on_loopback_alone_and_keep_what_they_keep_in_the_home(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("prometheus", "alertmanager"):  # as others than Debian name them
        (home.path / name).write_text("")
        (home.path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(home.path))
    found = {spec.name: spec.command for spec in observability.specs(config(), home, {})}
    assert "--web.listen-address=127.0.0.1:19090" in found["prometheus"]
    assert "--web.listen-address=127.0.0.1:19093" in found["alertmanager"]
    assert f"--storage.tsdb.path={home.path}/observability/prometheus" in found["prometheus"]
    assert f"--storage.path={home.path}/observability/alertmanager" in found["alertmanager"]
