"""That the proof plays what it says: held-out parts of traces, static rules, and published rules only once."""

import itertools
import pathlib

import pytest

from benchmarks.routing import details, tables
from benchmarks.routing.cases import Case, Material, window
from benchmarks.routing.contenders import MAKERS, static_rules
from benchmarks.routing.memory import Memory
from benchmarks.routing.play import Player, Run, result
from services.router.simulator import strategies
from services.router.simulator.policy import Policy

_HYBRID = Case("hybrid", "hybrid", "", 2.0)


@pytest.fixture
def traced(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "trace.csv"
    lines = [f"2023-11-16 18:{second // 60:02}:{second % 60:02}.0000000,100,10" for second in range(600)]
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]))
    return path


def test_windows_stay_within_their_half(traced: pathlib.Path) -> None:
    for seed in range(1000, 1010):
        begin, end = window(traced, seed, 1, 100)
        assert 299.5 <= begin <= 600 - 100
        assert end > 599
        begin, end = window(traced, seed, 0, 100)
        assert begin <= 300 - 100
        assert end == 299.5


def test_windows_of_seeds_begin_at_different_times(traced: pathlib.Path) -> None:
    assert len({window(traced, seed, 1, 100) for seed in range(1000, 1010)}) == 10


def _at_vendor(policy: str) -> float:
    rows = result(Material(None, 60), Run(_HYBRID, policy, 1000, 2.0)).rows
    return sum(row.worker.startswith("cloud") for row in rows) / len(rows)


@pytest.mark.parametrize("within", ["least_loaded", "lmetric"])
def test_a_fixed_share_goes_to_the_vendor(within: str) -> None:
    shares = [_at_vendor(f"fixed_share:percent={percent},within={within}") for percent in (0, 50, 100)]
    assert shares[0] == 0.0
    assert 0.3 < shares[1] < 0.7
    assert shares[2] == 1.0


@pytest.mark.parametrize("rule", ["local_first", "cheapest_first"])
def test_the_lower_the_limit_the_more_goes_to_the_vendor(rule: str) -> None:
    shares = [_at_vendor(f"{rule}:limit={limit}") for limit in (1, 2, 64)]
    assert shares[0] > shares[1] >= shares[2]


def test_every_static_rule_can_be_made() -> None:
    for policy in itertools.chain(static_rules("least_loaded"), static_rules("lmetric")):
        strategies.factory(Policy.parse(policy), MAKERS)


def test_published_rules_are_played_once_and_ours_each_time(tmp_path: pathlib.Path) -> None:
    runs = [Run(_HYBRID, policy, 1000, 2.0) for policy in ("lmetric", "adaptive")]
    played = []

    def play(material: Material, run: Run) -> int:
        played.append(run.policy)
        return run.seed

    for _ in range(2):
        assert Memory(tmp_path / "memory").each(Material(None, 10), play, runs, 1) == [1000, 1000]
    assert played == ["lmetric", "adaptive", "adaptive"]


def test_what_was_played_is_told_in_a_table() -> None:
    player = Player(Material(None, 30), Memory(None), 1)
    found = details.parts(player, {"prefixes": 4.0}, seeds=1)
    told = tables.markdown({"parts": {"found": found}})
    assert "| prefixes |  | ablated:index=false |" in told
    assert len(told.splitlines()) == 4 + len(found)
