"""How fast providers are, by what their attempts took. Pure.

The simulator's engine takes `step + sequence * running` seconds for a step, which brings every running answer a token,
and `prompt_token` for each token of a prompt that it reads. Of an attempt the ledger has the time to its first content
and the time of all its tokens after that; how many ran beside it follows from the others.
"""

import bisect
import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from services.cli.replay.past import Served

# With fewer attempts to go by there is nothing to fit.
LEAST = 20
# An answer this short says little of the time of a token.
_LEAST_TOKENS = 4
_FAILED = ("PROVIDER_", "ENGINE_FAILED", "WORKER_LOST")


class EngineSpeed(NamedTuple):
    """Seconds of an engine: of a step, for each sequence in it, for each token of a prompt, and before any of it."""

    step: float
    sequence: float
    prompt_token: float
    before: float
    attempts: int


class VendorSpeed(NamedTuple):
    """A vendor: median and spread (of the logarithm) to the first content and of tokens a second, share of failures."""

    first_seconds: float
    first_sigma: float
    tokens_per_second: float
    speed_sigma: float
    error_share: float
    attempts: int


class Line(NamedTuple):
    """`base + slope * x`."""

    base: float
    slope: float


def engine(attempts: Sequence[Served]) -> EngineSpeed | None:
    """An engine's speed by attempts at several equal ones; None where there are too few."""
    running = Running(attempts)
    whole = [one for one in attempts if _token_seconds(one) is not None and one.first_at is not None]
    if len(whole) < LEAST:
        return None
    steps = line([(running.mean(one), _token_seconds(one) or 0.0) for one in whole])
    # Under load a prompt waits for others: those with the fewest beside them tell what reading itself takes.
    alone = sorted(whole, key=running.at_placement)[: max(LEAST, len(whole) // 3)]
    reading = line([(one.uncached_tokens, (one.first_at or 0.0) - one.placed_at) for one in alone])
    step = max(1e-4, steps.base)
    return EngineSpeed(step, steps.slope, reading.slope, max(0.0, reading.base - step - steps.slope), len(whole))


def vendor(attempts: Sequence[Served]) -> VendorSpeed | None:
    """A vendor's speed; None where there are too few attempts."""
    firsts = [one.first_at - one.placed_at for one in attempts if one.first_at is not None]
    firsts = [seconds for seconds in firsts if seconds > 0]
    speeds = [1.0 / seconds for one in attempts if (seconds := _token_seconds(one))]
    if len(firsts) < LEAST or len(speeds) < LEAST:
        return None
    failed = sum(not one.succeeded and one.first_at is None and one.reason.startswith(_FAILED) for one in attempts)
    return VendorSpeed(
        statistics.median(firsts),
        _sigma(firsts),
        statistics.median(speeds),
        _sigma(speeds),
        failed / len(attempts),
        len(attempts),
    )


def line(points: Sequence[tuple[float, float]]) -> Line:
    """Least squares; where that falls, what falls is noise, and the line is level at the mean."""
    mean_x = statistics.fmean(x for x, _ in points)
    mean_y = statistics.fmean(y for _, y in points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
    if slope <= 0:
        return Line(mean_y, 0.0)
    base = mean_y - slope * mean_x
    if base >= 0:
        return Line(base, slope)
    # Through the origin: nothing takes less than no time.
    return Line(0.0, sum(x * y for x, y in points) / sum(x * x for x, _ in points))


class Running:
    """How many attempts ran at each worker, at any time."""

    def __init__(self, attempts: Iterable[Served]) -> None:
        events: dict[str, list[tuple[float, int]]] = {}
        for one in attempts:
            events.setdefault(one.worker, []).extend([(one.placed_at, 1), (one.ended_at, -1)])
        self._times: dict[str, list[float]] = {}
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, list[float]] = {}
        for worker, found in events.items():
            found.sort()
            times = [at for at, _ in found]
            counts = list(itertools.accumulate(change for _, change in found))
            areas = (count * (end - begin) for count, begin, end in zip(counts, times, times[1:], strict=False))
            self._times[worker], self._counts[worker] = times, counts
            self._sums[worker] = [0.0, *itertools.accumulate(areas)]

    def mean(self, one: Served) -> float:
        """Mean number of those running while an attempt's tokens came, itself included."""
        begin, end = one.first_at or one.placed_at, one.ended_at
        return (self._area(one.worker, end) - self._area(one.worker, begin)) / (end - begin) if end > begin else 1.0

    def at_placement(self, one: Served) -> int:
        """Number of those running when an attempt was placed, itself included."""
        return self._counts[one.worker][bisect.bisect_right(self._times[one.worker], one.placed_at) - 1]

    def _area(self, worker: str, at: float) -> float:
        times = self._times[worker]
        index = bisect.bisect_right(times, at) - 1
        return self._sums[worker][index] + self._counts[worker][index] * (at - times[index])


def _token_seconds(one: Served) -> float | None:
    """Seconds of each token after the first; None where the attempt does not tell."""
    if not one.succeeded or one.first_at is None or one.output_tokens < _LEAST_TOKENS:
        return None
    return (one.ended_at - one.first_at) / (one.output_tokens - 1)


def _sigma(values: Sequence[float]) -> float:
    return statistics.pstdev(math.log(value) for value in values)
