"""The command line prints what was found, and writes it."""

import pathlib

import orjson
import pytest
from typer.testing import CliRunner

from services.router.simulator import __main__ as command

_SCENARIO = """
name: small
summary: Two.
fleet: [{name: gpu, workers: 2}]
tenants: [{key: a}, {key: b}]
policies: [least_loaded, round_robin]
seeds: 2
traffic: {generated: {requests: 40, requests_per_second: 3}, rate: 1}
"""


@pytest.fixture
def small(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "small.yaml"
    path.write_text(_SCENARIO)
    return path


def _run(*arguments: object) -> str:
    result = CliRunner().invoke(command.app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_scenarios_are_listed() -> None:
    assert "gray_failure" in _run("list")


def test_a_run_is_written_request_by_request(small: pathlib.Path, tmp_path: pathlib.Path) -> None:
    out = tmp_path / "rows"
    printed = _run("run", small, "--seed", 3, "--json", out)
    rows = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert len(rows) > 30
    assert {"identity", "ttft", "worker", "outcome"} <= rows[0].keys()
    assert "least_loaded" in printed
    again = tmp_path / "again"
    _run("run", small, "--seed", 3, "--json", again)
    assert again.read_bytes() == out.read_bytes()


@pytest.mark.parametrize("jobs", [1, 2])
def test_policies_are_compared_seed_by_seed(small: pathlib.Path, tmp_path: pathlib.Path, jobs: int) -> None:
    out = tmp_path / "found"
    printed = _run("compare", small, "--jobs", jobs, "--json", out)
    assert "round_robin" in printed
    found = orjson.loads(out.read_bytes())["small"]
    assert list(found) == ["least_loaded", "round_robin"]
    good = found["round_robin"]["good_share"]
    assert list(good["seeds"]) == ["1", "2"]
    assert good["low"] <= good["value"] <= good["high"]
    assert set(found["least_loaded"]["keys"][0]) == {"a", "b"}


def test_a_capacity_is_found(small: pathlib.Path, tmp_path: pathlib.Path) -> None:
    out = tmp_path / "found"
    _run("capacity", small, "--policy", "least_loaded", "--seeds", 1, "--jobs", 1, "--json", out)
    rate = orjson.loads(out.read_bytes())["small"]["least_loaded"]["rate"]["value"]
    assert 0.5 < rate < 20


def test_what_is_wrong_is_told_in_a_line(
    small: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, told in (
        (["run", str(small), "--policy", "none"], "no policy `none`"),
        (["run", "none"], "no scenario `none`"),
        (["run", str(small), "--trace", "/nowhere"], "/nowhere: cannot be read"),
    ):
        monkeypatch.setattr("sys.argv", ["simulate", *arguments])
        with pytest.raises(SystemExit) as ended:
            command.main()
        assert ended.value.code == 2
        assert told in capsys.readouterr().err
