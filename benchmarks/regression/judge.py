"""Whether a ratio has grown by more than is allowed. Pure."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

# What a change may cost. benchmarks/README.md says what chance does.
ALLOWED = 1.15


@dataclasses.dataclass(frozen=True, slots=True)
class Costs:
    """CPU per unit in µs, in the order in which it was measured.

    Attributes:
        subject: one value for each turn.
        calibration: one more than that: before the first turn, between two, and after the last.
    """

    subject: Sequence[float]
    calibration: Sequence[float]

    def ratios(self) -> Sequence[float]:
        """For each turn, how many times what the calibration cost right before and after it the subject costs."""
        around = zip(self.calibration, self.calibration[1:], strict=False)
        return [2 * cost / (before + after) for cost, (before, after) in zip(self.subject, around, strict=True)]


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one figure. `grown` is its ratio by that of the baseline."""

    name: str
    ratio: float
    baseline: float | None

    @property
    def grown(self) -> float | None:
        return self.ratio / self.baseline if self.baseline else None

    @property
    def passed(self) -> bool:
        """Whether it has not grown by more than is allowed. What has no baseline has not passed."""
        return self.grown is not None and self.grown <= ALLOWED

    def __str__(self) -> str:
        if self.grown is None:
            return f"{self.name}: {self.ratio:.3f} times the skeleton; there is no baseline: --record"
        word = "ok" if self.passed else f"more than {100 * (ALLOWED - 1):.0f} % dearer"
        told = f"{self.ratio:.3f} times the skeleton, {self.grown:.2f} of the baseline's {self.baseline:.3f}"
        return f"{self.name}: {told}: {word}"


def judge(costs: Mapping[str, Sequence[Costs]], baseline: Mapping[str, float]) -> Sequence[Verdict]:
    """A verdict on each figure, by the median of all turns: a few that were disturbed do not matter, and no drift does.

    Raises:
        ValueError: nothing was measured of a figure.
    """
    return [
        Verdict(name, statistics.median(ratio for one in some for ratio in one.ratios()), baseline.get(name))
        for name, some in costs.items()
    ]
