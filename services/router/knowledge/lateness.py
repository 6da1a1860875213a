"""How much longer than expected attempts take to begin, at most."""

# Weight of the newest observation in the usual distance from the quantile, which is what a step is made of.
_WEIGHT = 0.05
_STEP = 0.25


class Quantile:
    """A running quantile of numbers, in constant space, that follows them as they change.

    Each observation above it moves it up by the share, each below it down by the rest, of a step: where it stands
    still, that share lies below (Robbins and Monro's stochastic approximation). Steps are in proportion to how far
    observations usually lie from it.
    """

    __slots__ = ("_distance", "_share", "value")

    def __init__(self, share: float) -> None:
        self._share = share
        self._distance = 0.0
        self.value = 0.0

    def observe(self, number: float) -> None:
        """One more."""
        self._distance += _WEIGHT * (abs(number - self.value) - self._distance)
        step = _STEP * self._distance
        self.value += step * self._share if number > self.value else -step * (1.0 - self._share)
