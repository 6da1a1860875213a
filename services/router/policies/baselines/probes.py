"""What a Prequal client knows: recent probes of some targets, and how loaded targets have been."""

import bisect
import collections
import dataclasses
from collections.abc import Collection


@dataclasses.dataclass(slots=True)
class Probe:
    """What a target said of itself.

    Attributes:
        position: the target.
        at: when it was asked.
        in_flight: its requests in flight then, and those sent there since because of this probe.
        seconds: the latency that it expected.
        uses: how many requests it may still place.
    """

    position: int
    at: float
    in_flight: int
    seconds: float
    uses: int


class ProbePool:
    """The newest probe of each target, at most so many of them."""

    def __init__(self, size: int, age_seconds: float) -> None:
        self._size = size
        self._age_seconds = age_seconds
        self._probes: list[Probe] = []  # oldest first

    def __len__(self) -> int:
        return len(self._probes)

    def add(self, probe: Probe) -> None:
        """Keep a probe instead of an earlier one of its target. The oldest one goes where there are too many."""
        self.forget(probe.position)
        self._probes.append(probe)
        if len(self._probes) > self._size:
            del self._probes[0]

    def forget(self, position: int) -> None:
        """What was known of a target does not hold."""
        self._probes = [probe for probe in self._probes if probe.position != position]

    def expire(self, now: float) -> None:
        """Drop what is too old."""
        self._probes = [probe for probe in self._probes if now - probe.at <= self._age_seconds]

    def best(self, limit: int | None, among: Collection[int]) -> Probe | None:
        """The cold one with the least latency; where all are hot, the one with least in flight. None of fewer than two.

        Args:
            limit: a probe with more in flight is hot; None: none is.
            among: positions of targets that may be chosen.
        """
        usable = [probe for probe in self._probes if probe.position in among]
        if len(usable) < 2:
            return None
        cold = [probe for probe in usable if not _hot(probe, limit)]
        if cold:
            return min(cold, key=lambda probe: (probe.seconds, probe.in_flight))
        return min(usable, key=lambda probe: (probe.in_flight, probe.seconds))

    def use(self, probe: Probe) -> None:
        """A request goes where the probe said: one more is in flight there."""
        probe.in_flight += 1
        probe.uses -= 1
        if probe.uses <= 0:
            self._probes.remove(probe)

    def remove_oldest(self) -> None:
        """Drop the oldest probe."""
        if self._probes:
            del self._probes[0]

    def remove_worst(self, limit: int | None) -> None:
        """Drop the hot probe with most in flight; where none is hot, the one with the most latency."""
        hot = [probe for probe in self._probes if _hot(probe, limit)]
        if hot:
            self._probes.remove(max(hot, key=lambda probe: probe.in_flight))
        elif self._probes:
            self._probes.remove(max(self._probes, key=lambda probe: probe.seconds))


class RecentLoads:
    """In-flight counts of the last probes, and their quantiles."""

    def __init__(self, length: int) -> None:
        self._recent: collections.deque[int] = collections.deque()
        self._sorted: list[int] = []
        self._length = length

    def add(self, in_flight: int) -> None:
        """A probe said this."""
        if len(self._recent) == self._length:
            del self._sorted[bisect.bisect_left(self._sorted, self._recent.popleft())]
        self._recent.append(in_flight)
        bisect.insort(self._sorted, in_flight)

    def quantile(self, share: float) -> int | None:
        """The count at that share of the sorted ones; None without any."""
        return self._sorted[int((len(self._sorted) - 1) * share)] if self._sorted else None


def _hot(probe: Probe, limit: int | None) -> bool:
    return limit is not None and probe.in_flight > limit
