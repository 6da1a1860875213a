"""What can be said of a number of which there is one for each seed."""

import math
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from services.router.simulator.noise import Topic, mix

_RESAMPLES = 2000
_LEVEL = 0.95


class Interval(NamedTuple):
    """An estimate, and the bounds of its 95 % confidence interval."""

    value: float
    low: float
    high: float


def mean(values: Sequence[float]) -> Interval:
    """The mean over seeds, by the bootstrap."""
    return _bootstrap([values], lambda means: means[0])


def difference(values: Sequence[float], others: Sequence[float]) -> Interval:
    """Mean of `values` less mean of `others`, which belong to the same seeds in the same order: paired."""
    return _bootstrap([values, others], lambda means: means[0] - means[1])


def ratio(values: Sequence[float], others: Sequence[float]) -> Interval:
    """Mean of `values` by mean of `others`, paired. Infinite where the latter is 0."""
    return _bootstrap([values, others], lambda means: means[0] / means[1] if means[1] else math.inf)


def _bootstrap(columns: Sequence[Sequence[float]], estimate: Callable[[list[float]], float]) -> Interval:
    """The percentile bootstrap (Efron, 1979) over seeds: those drawn are the same in every column.

    Raises:
        ValueError: there is no seed, or columns differ in their number.
    """
    count = len(columns[0])
    if not count or any(len(column) != count for column in columns):
        raise ValueError("every seed needs one value of each kind, and there must be a seed")
    rng = random.Random(mix(Topic.BOOTSTRAP, count))
    value = estimate([math.fsum(column) / count for column in columns])
    if count == 1:
        return Interval(value, -math.inf, math.inf)
    estimates = []
    for _ in range(_RESAMPLES):
        drawn = rng.choices(range(count), k=count)
        estimates.append(estimate([math.fsum(column[at] for at in drawn) / count for column in columns]))
    estimates.sort()
    out = (1 - _LEVEL) / 2
    return Interval(value, estimates[int(out * _RESAMPLES)], estimates[int((1 - out) * _RESAMPLES) - 1])
