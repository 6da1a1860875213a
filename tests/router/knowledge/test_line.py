"""A straight line through noisy observations."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.knowledge.line import Line


def _reading() -> Line:
    return Line(base=0.01, slope=5e-5, least=1e-6, most=1.0, ridge=1e3, keep=0.995)


def test_it_answers_as_believed_before_anything_was_seen() -> None:
    line = _reading()
    assert line.at(0) == pytest.approx(0.01)
    assert line.at(1000) == pytest.approx(0.06)


def test_it_finds_base_and_slope() -> None:
    line = _reading()
    for at in (300, 900, 2500, 7000) * 10:
        line.observe(at, 0.05 + 2e-4 * at)
    assert line.base == pytest.approx(0.05, rel=0.05)
    assert line.slope == pytest.approx(2e-4, rel=0.02)


def test_one_look_at_something_a_hundred_times_slower_is_enough() -> None:
    line = _reading()
    line.observe(1000, 1000 * 5e-3)
    assert line.at(1000) == pytest.approx(5.0)
    assert line.at(2000) == pytest.approx(5.0 * 11 / 6)


def test_with_observations_of_one_length_alone_base_and_slope_keep_their_proportion() -> None:
    line = _reading()
    for _ in range(50):
        line.observe(10, 0.3)
    assert line.at(10) == pytest.approx(0.3)
    assert line.slope / line.base == pytest.approx(5e-5 / 0.01)


def test_what_does_not_depend_on_length_has_no_slope() -> None:
    line = _reading()
    for at in (10, 200, 3000) * 20:
        line.observe(at, 0.3)
    assert line.at(20_000) < 0.35


def test_old_observations_fade() -> None:
    line = Line(base=1.0, slope=0.0, least=0.0, most=1.0, ridge=1.0, keep=0.9)
    for _ in range(100):
        line.observe(0, 1.0)
    for _ in range(30):
        line.observe(0, 3.0)
    assert line.at(0) == pytest.approx(3.0, rel=0.05)


@given(seen=st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e4), st.floats(1e-3, 10)), min_size=0, max_size=40))
def test_it_is_never_negative_and_never_falls(seen: list[tuple[float, float, float]]) -> None:
    line = _reading()
    for at, value, weight in seen:
        line.observe(at, value, weight)
    assert math.isfinite(line.base)
    assert math.isfinite(line.slope)
    assert line.base >= 0
    assert line.slope >= 1e-6
