"""How many of the last attempts went well."""

_BUCKETS = 10


class Window:
    """Counts over a sliding window, in a ring of ten buckets: what is older than the window is forgotten bit by bit."""

    __slots__ = ("_at", "_bad", "_good", "_seconds", "total", "well")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds / _BUCKETS
        self._at = 0
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._good = [0] * _BUCKETS
        self._bad = [0] * _BUCKETS
        self.well = 0
        self.total = 0

    def add(self, now: float, *, well: bool) -> None:
        """An attempt ended. `well` and `total` then hold for this moment."""
        self._advance(now)
        if well:
            self._good[self._at % _BUCKETS] += 1
            self.well += 1
        else:
            self._bad[self._at % _BUCKETS] += 1
        self.total += 1

    def _advance(self, now: float) -> None:
        bucket = int(now // self._seconds)
        for passed in range(self._at + 1, min(bucket, self._at + _BUCKETS) + 1):
            index = passed % _BUCKETS
            self.well -= self._good[index]
            self.total -= self._good[index] + self._bad[index]
            self._good[index] = self._bad[index] = 0
        self._at = max(self._at, bucket)
