"""The rules of infrastructure/prometheus before Prometheus' own tools."""

import pathlib
import subprocess

import pytest

RULES = sorted(pathlib.Path("infrastructure/prometheus/rules").glob("*.yml"))

pytestmark = pytest.mark.ops


def test_promtool_finds_no_fault_in_any_rule() -> None:
    said = subprocess.run(
        ["promtool", "check", "rules", "--lint=all", "--lint-fatal", *map(str, RULES)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
