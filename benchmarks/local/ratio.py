"""The ratio of two systems out of pairs of measurements."""

import dataclasses
import math
import random
import statistics
from collections.abc import Sequence

_RESAMPLES = 2_000


@dataclasses.dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio with its interval of 95 %, and the number of pairs that it stands on."""

    value: float
    low: float
    high: float
    pairs: int

    def within(self, share: float) -> bool:
        """Whether the whole interval is no further than that share from 1."""
        return self.low >= 1 - share and self.high <= 1 + share


def paired(ours: Sequence[float], theirs: Sequence[float], *, seed: int = 0) -> Ratio:
    """The geometric mean of the pairs' ratios, with a percentile bootstrap of the mean log difference.

    Both members of a pair were measured next to each other, so what slows the machine for a while cancels out.

    Raises:
        ValueError: there are fewer than two pairs, or one lacks a member.
    """
    logs = [math.log(one / other) for one, other in zip(ours, theirs, strict=True)]
    if len(logs) < 2:
        raise ValueError("an interval takes at least two pairs")
    chance = random.Random(seed)
    means = sorted(statistics.fmean(chance.choices(logs, k=len(logs))) for _ in range(_RESAMPLES))
    low, high = means[round(0.025 * _RESAMPLES)], means[round(0.975 * _RESAMPLES) - 1]
    return Ratio(math.exp(statistics.fmean(logs)), math.exp(low), math.exp(high), len(logs))
