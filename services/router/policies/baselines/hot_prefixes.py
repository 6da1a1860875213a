"""Prefixes that are asked for more often than the targets that have them can bear."""

import collections
import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """How a request of a class finds the targets.

    Attributes:
        key: the class: the prefix that its requests share.
        holders: number of targets that have the prefix.
        others: number of those that do not.
        prefers_holders: whether the best of the holders scores no worse than the best of the others.
    """

    key: int
    holders: int
    others: int
    prefers_holders: bool


class HotPrefixes:
    """The two-phase detector of LMetric, section 5.2 of the paper.

    A class is suspect while its requests are a larger share of all than its holders are of the targets: x / (1 - x) >
    holders / others. It is hot once 2 x holders requests of it in a row, while suspect, would still have gone to a
    holder, and until it is not suspect any more.

    The condition and the 2 x holders are known second-hand (two independent summaries of the paper agree; unverified).
    Window, least count and the end of being hot are not known to be in the paper, and are those of one of them.
    """

    def __init__(self, *, window_seconds: float = 60.0, least_count: int = 5) -> None:
        self._window_seconds, self._least_count = window_seconds, least_count
        self._arrivals: collections.deque[tuple[float, int]] = collections.deque()
        self._counts: collections.Counter[int] = collections.Counter()
        self._in_a_row: dict[int, int] = {}

    def on_request(self, reading: Reading, now: float) -> bool:
        """A request came. Returns whether its class is hot, so that those that have its prefix should be left out."""
        self._count(reading.key, now)
        if not self._suspect(reading):
            self._in_a_row.pop(reading.key, None)
            return False
        row = self._in_a_row.get(reading.key, 0)
        if row < 2 * reading.holders:
            row = self._in_a_row[reading.key] = row + 1 if reading.prefers_holders else 0
        return row >= 2 * reading.holders

    def _suspect(self, reading: Reading) -> bool:
        count = self._counts[reading.key]
        if count < self._least_count or not reading.holders or not reading.others:
            return False
        return count * reading.others > (len(self._arrivals) - count) * reading.holders

    def _count(self, key: int, now: float) -> None:
        self._arrivals.append((now, key))
        self._counts[key] += 1
        while self._arrivals[0][0] <= now - self._window_seconds:
            _, gone = self._arrivals.popleft()
            self._counts[gone] -= 1
            if not self._counts[gone]:
                del self._counts[gone]
                self._in_a_row.pop(gone, None)
