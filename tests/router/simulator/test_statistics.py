"""Intervals cover what they should, and pairs are kept."""

import math
import random

import pytest

from services.router.simulator import statistics
from services.router.simulator.capacity import Search, highest
from services.router.simulator.fairness import Tenancy, jain, shares
from services.router.simulator.quantiles import quantiles


def test_an_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    chance = random.Random(1)
    covered = 0
    for _ in range(40):
        found = statistics.mean([chance.gauss(5.0, 1.0) for _ in range(12)])
        covered += found.low <= 5.0 <= found.high
    assert 32 <= covered <= 40


def test_a_difference_is_taken_seed_by_seed() -> None:
    chance = random.Random(2)
    one = [chance.gauss(100.0, 30.0) for _ in range(10)]
    other = [value - 1.0 + chance.gauss(0.0, 0.1) for value in one]
    found = statistics.difference(one, other)
    assert 0.8 < found.low < 1.0 < found.high < 1.2
    times = statistics.ratio(one, other)
    assert 1.0 < times.low <= times.value <= times.high < 1.05


def test_one_seed_says_nothing_of_chance_and_none_is_refused() -> None:
    assert statistics.mean([3.0]) == (3.0, -math.inf, math.inf)
    with pytest.raises(ValueError, match="there must be a seed"):
        statistics.mean([])
    with pytest.raises(ValueError, match="one value of each kind"):
        statistics.difference([1.0, 2.0], [1.0])


@pytest.mark.parametrize("limit", [0.07, 0.9, 1.0, 1.3, 17.0])
def test_the_highest_rate_is_found_from_anywhere(limit: float) -> None:
    assert highest(lambda rate: rate <= limit, Search(low=1.0, precision=0.01)) == pytest.approx(limit, rel=0.01)


def test_a_search_ends_where_there_is_no_limit() -> None:
    assert highest(lambda _: True, Search()) == math.inf
    assert highest(lambda _: False, Search()) == 0.0


def test_percentiles_are_values_that_were_there() -> None:
    found = quantiles(list(range(100, 0, -1)))
    assert found == (50.5, 50, 90, 99)
    assert quantiles([]) == (0.0, 0.0, 0.0, 0.0)


def test_shares_are_fair_by_weight_and_give_nobody_more_than_was_asked_for() -> None:
    due = shares({"greedy": 1000, "meek": 10, "double": 1000}, {"double": 2.0}, 100.0)
    assert due == pytest.approx({"meek": 10.0, "greedy": 30.0, "double": 60.0})
    assert sum(shares({"a": 5, "b": 5}, {}, 100.0).values()) == 10.0


def test_jains_index_is_one_where_all_have_their_due() -> None:
    def part(service: int, due: float) -> Tenancy:
        return Tenancy(1, 1.0, 100, service, due, 0.0)

    assert jain([part(50, 50), part(10, 10)]) == 1.0
    assert jain([part(50, 50), part(0, 50)]) == 0.5
    assert jain([part(90, 50), part(50, 50)]) == 1.0, "more than one's due is nobody's merit"
    assert jain([part(0, 0.0)]) == 1.0
