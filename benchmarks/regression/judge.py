"""Whether a ratio has grown by more than is allowed. Pure."""

import dataclasses
from collections.abc import Mapping, Sequence

# What chance does is less, on quiet machines and on busy ones: benchmarks/README.md has the spread.
ALLOWED = 1.15


@dataclasses.dataclass(frozen=True, slots=True)
class Costs:
    """CPU per unit in µs, one value for each round, in the order of the rounds."""

    subject: Sequence[float]
    calibration: Sequence[float]

    def ratio(self) -> float:
        """How many times the calibration the subject costs, each at its best: what disturbs only adds.

        Raises:
            ValueError: nothing was measured.
        """
        return min(self.subject) / min(self.calibration)


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


def judge(costs: Mapping[str, Costs], baseline: Mapping[str, float]) -> Sequence[Verdict]:
    """A verdict on each figure that was measured."""
    return [Verdict(name, one.ratio(), baseline.get(name)) for name, one in costs.items()]
