"""That a regression is told from chance, and from a slow machine."""

import json
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.regression.__main__ import record
from benchmarks.regression.judge import ALLOWED, Costs, Verdict, judge

_COST = st.floats(1.0, 1e4)


def turns(subject: list[float], calibration: float) -> Costs:
    return Costs(subject, [calibration] * (len(subject) + 1))


@given(ratios=st.lists(_COST, min_size=1, max_size=6), slower=st.floats(0.2, 5.0))
def test_a_slower_machine_changes_nothing(ratios: list[float], slower: float) -> None:
    there = turns([slower * one for one in ratios], slower)
    assert there.ratios() == pytest.approx(turns(ratios, 1.0).ratios())


def test_a_machine_that_grows_slower_at_an_even_pace_changes_nothing() -> None:
    assert Costs([30.0, 50.0], [10.0, 20.0, 30.0]).ratios() == [2.0, 2.0]


@given(steady=_COST, disturbed=st.floats(1.0, 100.0))
def test_two_disturbed_turns_of_five_change_nothing(steady: float, disturbed: float) -> None:
    (verdict,) = judge({"x": [turns([steady] * 3 + [steady * disturbed] * 2, 1.0)]}, {"x": steady})
    assert verdict.grown == pytest.approx(1.0)


def test_what_was_measured_again_counts_together_with_what_was_measured_before() -> None:
    (verdict,) = judge({"x": [turns([3.0], 1.0), turns([2.0, 2.0], 1.0)]}, {"x": 2.0})
    assert verdict.grown == pytest.approx(1.0)


@pytest.mark.parametrize(("ratio", "passed"), [(1.0, True), (2.0, True), (2.0 * ALLOWED, True), (2.31, False)])
def test_more_than_fifteen_per_cent_is_a_regression(ratio: float, passed: bool) -> None:
    (verdict,) = judge({"x": [turns([ratio * 10.0], 10.0)]}, {"x": 2.0})
    assert verdict.passed == passed
    assert ("dearer" in str(verdict)) != passed


def test_what_has_no_baseline_does_not_pass() -> None:
    (verdict,) = judge({"x": [turns([1.0], 1.0)]}, {"y": 1.0})
    assert not verdict.passed
    assert "--record" in str(verdict)


def test_a_recorded_baseline_is_what_was_measured(tmp_path: pathlib.Path) -> None:
    record([Verdict("x", 2.5, None)], tmp_path / "baseline.json")
    assert json.loads((tmp_path / "baseline.json").read_text(encoding="utf-8"))["ratios"] == {"x": 2.5}
