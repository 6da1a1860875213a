"""That a regression is told from chance, and from a slow machine."""

import json
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.regression.__main__ import record
from benchmarks.regression.judge import ALLOWED, Costs, Verdict, judge

_COSTS = st.lists(st.floats(1.0, 1e4), min_size=1, max_size=6)


@given(subject=_COSTS, calibration=_COSTS, slower=st.floats(0.2, 5.0))
def test_a_slower_machine_changes_nothing(subject: list[float], calibration: list[float], slower: float) -> None:
    there = Costs([slower * one for one in subject], [slower * one for one in calibration])
    assert there.ratio() == pytest.approx(Costs(subject, calibration).ratio())


@given(subject=_COSTS, calibration=_COSTS, disturbed=st.floats(1.0, 10.0))
def test_a_round_that_was_disturbed_changes_nothing(
    subject: list[float], calibration: list[float], disturbed: float
) -> None:
    more = Costs([*subject, min(subject) * disturbed], [*calibration, min(calibration) * disturbed])
    assert more.ratio() == pytest.approx(Costs(subject, calibration).ratio())


@pytest.mark.parametrize(("ratio", "passed"), [(1.0, True), (2.0, True), (2.0 * ALLOWED, True), (2.31, False)])
def test_more_than_fifteen_per_cent_is_a_regression(ratio: float, passed: bool) -> None:
    (verdict,) = judge({"x": Costs([ratio * 10.0], [10.0])}, {"x": 2.0})
    assert verdict.passed == passed
    assert ("dearer" in str(verdict)) != passed


def test_what_has_no_baseline_does_not_pass() -> None:
    (verdict,) = judge({"x": Costs([1.0], [1.0])}, {"y": 1.0})
    assert not verdict.passed
    assert "--record" in str(verdict)


def test_a_recorded_baseline_is_what_was_measured(tmp_path: pathlib.Path) -> None:
    record([Verdict("x", 2.5, None)], tmp_path / "baseline.json")
    assert json.loads((tmp_path / "baseline.json").read_text(encoding="utf-8"))["ratios"] == {"x": 2.5}
