"""Percentiles."""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Quantiles(NamedTuple):
    """Mean and percentiles; zeros where there was nothing."""

    mean: float
    p50: float
    p90: float
    p99: float


def quantiles(values: Sequence[float]) -> Quantiles:
    """Mean and percentiles; of a sorted sequence, the value at rank p·n, rounded up."""
    if not values:
        return Quantiles(0.0, 0.0, 0.0, 0.0)
    ordered = sorted(values)
    at = [ordered[max(0, math.ceil(share * len(ordered)) - 1)] for share in (0.5, 0.9, 0.99)]
    return Quantiles(math.fsum(ordered) / len(ordered), *at)
