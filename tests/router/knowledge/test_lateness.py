"""How much longer than expected attempts take to begin, at most."""

import random
import statistics

import pytest

from services.router.knowledge.lateness import Quantile


@pytest.mark.parametrize("seed", range(5))
def test_about_one_in_twenty_lies_above(seed: int) -> None:
    rng = random.Random(seed)
    numbers = [rng.gauss(0.2, 0.5) for _ in range(4000)]
    late = Quantile(0.95)
    above = []
    for number in numbers:
        above.append(number > late.value)
        late.observe(number)
    assert 0.03 < statistics.fmean(above[1000:]) < 0.08


def test_it_follows_what_changes() -> None:
    rng = random.Random(1)
    late = Quantile(0.95)
    for _ in range(1000):
        late.observe(rng.uniform(0.0, 0.1))
    before = late.value
    for _ in range(1000):
        late.observe(rng.uniform(1.0, 2.0))
    assert before < 0.15
    assert 1.7 < late.value < 2.3


def test_where_all_is_as_expected_it_is_nothing() -> None:
    late = Quantile(0.95)
    for _ in range(100):
        late.observe(0.0)
    assert late.value == 0.0
