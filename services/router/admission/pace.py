"""How fast a model's waiters move on: how long a place is taken, learned from those that were."""

# Weight of the newest time; the first ones count as a mean.
_WEIGHT = 0.05
# Fewer tell nothing.
_LEAST_SAMPLES = 3


class Pace:
    """Mean time for which an attempt holds its place at a worker."""

    __slots__ = ("_samples", "_seconds")

    def __init__(self) -> None:
        self._samples = 0
        self._seconds = 0.0

    @property
    def seconds(self) -> float | None:
        """The mean; None where too little is known."""
        return self._seconds if self._samples >= _LEAST_SAMPLES else None

    def on_ended(self, seconds: float) -> None:
        """An attempt that went well held its place for so long."""
        self._samples += 1
        self._seconds += max(_WEIGHT, 1 / self._samples) * (max(0.0, seconds) - self._seconds)

    def wait(self, ahead: int, places: int) -> float | None:
        """Seconds until one more gets a place behind so many others; None where nothing is known.

        With `places` taken, one of them is given back every `seconds / places` on average.
        """
        if self.seconds is None or not places:
            return None
        return (ahead + 1) * self.seconds / places
