"""The files of infrastructure/prometheus and infrastructure/alertmanager before the tools of those who read them."""

import pathlib
import shutil
import subprocess

import pytest

from services.cli import rules

INFRASTRUCTURE = pathlib.Path(__file__).parents[2] / "infrastructure"
RULES = sorted((INFRASTRUCTURE / "prometheus/rules").glob("*.yml"))
ALERTMANAGER = INFRASTRUCTURE / "alertmanager/alertmanager.yml"

pytestmark = pytest.mark.ops


def told(*command: str | pathlib.Path) -> str:
    """What a tool says that finds no fault."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_finds_no_fault_in_any_rule() -> None:
    told("promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULES)


@pytest.mark.parametrize("factor", [1, 7, 60, 1000])
def test_rules_in_one_file_and_faster_are_rules_as_well(factor: float, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(rules.faster(rules.shipped(), factor))
    told("promtool", "check", "rules", "--lint=all", "--lint-fatal", file)


def test_every_alert_fires_when_it_should_and_at_no_other_time() -> None:
    told("promtool", "test", "rules", INFRASTRUCTURE / "prometheus/tests/alerts.yml")


def test_prometheus_takes_its_configuration(tmp_path: pathlib.Path) -> None:
    directory = shutil.copytree(INFRASTRUCTURE / "prometheus", tmp_path / "prometheus")
    (directory / "targets").mkdir()
    (directory / "targets/mesh.json").write_text('[{"targets": ["127.0.0.1:9500"], "labels": {"job": "gateway"}}]')
    assert "WARNING" not in told(
        "promtool", "check", "config", "--lint=all", "--lint-fatal", directory / "prometheus.yml"
    )


def test_alertmanager_takes_its_configuration() -> None:
    told("amtool", "check-config", ALERTMANAGER)


@pytest.mark.parametrize(
    ("severity", "receiver"), [("critical", "page"), ("warning", "ticket"), ("info", "none"), ("", "ticket")]
)
def test_the_severity_says_who_hears_of_it(severity: str, receiver: str) -> None:
    routed = told(
        *("amtool", "config", "routes", "test", "--config.file", ALERTMANAGER),
        *("alertname=HybridWorkerDown", f"severity={severity}"),
    )
    assert routed.strip() == receiver
