"""That the measurements of decisions and placements measure."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from benchmarks import decisions, placements

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize("strategy", ["round_robin", "lmetric"])
def test_a_decision_costs_something_at_every_step(strategy: str) -> None:
    cost = decisions.measure(strategy, 8, rounds=1, turns=1)
    assert cost is not None
    assert set(cost.steps) == {"ask", "first content", "outcome"}
    assert 1.0 < cost.total()[0] < 10_000.0
    assert f"| {strategy} | 8 |" in decisions.table([cost])


def test_figures_of_a_window_are_per_placement() -> None:
    window = placements.Window(8, [0.001, 0.003], span=0.5, router_ns=400_000, client_ns=100_000_000, messages=3)
    figures = window.figures()
    assert (figures["placements_per_second"], figures["router_us"], figures["commands_per_message"]) == (
        4.0,
        200.0,
        2.0,
    )
    assert (figures["p99_ms"], figures["client_cores"]) == (3.0, 0.2)


@pytest.mark.slow
def test_a_short_run_places_over_both_transports(tmp_path: pathlib.Path) -> None:
    asked = ["--rounds", "1", "--seconds", "0.3", "--times", "10", "--running", "8", "--name", "short"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.placements", *asked, "--results", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/gen"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*-short.json")
    measured = json.loads(path.read_text())["measured"]
    assert [(case["transport"], case["running"]) for case in measured] == [
        ("unix", 1),
        ("unix", 8),
        ("tcp", 1),
        ("tcp", 8),
    ]
    for case in measured:
        assert 10 < case["figures"]["placements_per_second"]["median"] < 1000
        assert 10 < case["figures"]["router_us"]["median"] < 20_000
