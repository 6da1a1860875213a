"""How fast a model is served."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.knowledge.speeds import Lengths, PoolSpeeds, Slowness, TargetSpeeds


def test_answers_are_expected_to_be_three_hundred_tokens_long_at_first() -> None:
    assert PoolSpeeds().output_tokens == 300


def test_the_length_of_answers_is_learned() -> None:
    lengths = Lengths()
    for _ in range(100):
        lengths.observe(40)
    assert lengths.expected() == pytest.approx(42, rel=0.1)


def test_callers_with_long_answers_are_told_from_those_with_short_ones() -> None:
    lengths = Lengths()
    for _ in range(60):
        lengths.observe(1000, "long")
        lengths.observe(10, "short")
    assert lengths.expected("long") > 850
    assert lengths.expected("short") < 100
    assert 400 < lengths.expected("new") < 600


def test_callers_that_are_gone_are_forgotten() -> None:
    lengths = Lengths()
    for number in range(3000):
        lengths.observe(10, f"key-{number}")
    assert lengths.expected("key-0") == lengths.expected("never seen")


def test_a_worker_that_takes_twice_as_long_is_found_out() -> None:
    slowness = Slowness()
    for _ in range(300):
        slowness.observe(2.0, 1.0, 1.0, 0.0)
    # A hundred thirds of a look are remembered, against two of prejudice.
    assert slowness.factor == pytest.approx((2.0 / 0.03 + 2.0) / (1 / 0.03 + 2.0), rel=1e-3)


def test_one_look_is_not_believed_altogether() -> None:
    slowness = Slowness()
    slowness.observe(8.0, 1.0, 1.0, 0.0)
    assert slowness.factor == pytest.approx((8.0 + 2.0) / 3.0)


def test_a_worker_that_becomes_slow_is_found_out_within_a_few_looks() -> None:
    slowness = Slowness()
    for _ in range(200):
        slowness.observe(1.0, 1.0, 1.0, 0.0)
    for _ in range(3):
        slowness.observe(5.0, 1.0, 1.0, 0.0)
    assert slowness.factor > 2.5


def test_noise_moves_it_little() -> None:
    slowness, rng = Slowness(), random.Random(1)
    factors = []
    for _ in range(500):
        slowness.observe(rng.lognormvariate(-0.08, 0.4), 1.0, 1.0, 0.0)
        factors.append(slowness.factor)
    assert max(factors) < 1.25
    assert min(factors) > 0.8


def test_noise_is_no_slowness() -> None:
    slowness = Slowness()
    for _ in range(20):
        slowness.observe(1.09, 1.0, 1.0, 0.0)
    assert slowness.factor == 1.0


def test_a_worker_nobody_looks_at_is_ordinary_again() -> None:
    slowness = Slowness()
    for _ in range(20):
        slowness.observe(8.0, 1.0, 1.0, 0.0)
    slowness.observe(1.0, 1.0, 0.2, 3600.0)
    assert slowness.factor == 1.0


def test_a_penalty_fades_as_linkerds_does() -> None:
    speeds = TargetSpeeds()
    speeds.penalise(5.0, 100.0)
    assert speeds.penalty(100.0) == 5.0
    assert speeds.penalty(110.0) == pytest.approx(5.0 / math.e)
    speeds.penalise(1.0, 101.0)
    assert speeds.penalty(101.0) == pytest.approx(5.0 * math.exp(-0.1))


@given(looks=st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1), st.floats(0, 1e6)), max_size=40))
def test_slowness_stays_within_what_is_believed(looks: list[tuple[float, float, float, float]]) -> None:
    slowness = Slowness()
    for observed, expected, weight, now in looks:
        slowness.observe(observed, expected, weight, now)
    assert 0.22 <= slowness.factor <= 12
