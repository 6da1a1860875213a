"""A straight line through noisy observations, in which old ones count less and less."""

_TINY = 1e-12


class Line:
    """Decayed weighted least squares of `value = base + slope · at`, O(1) for each observation.

    What is believed beforehand is only the proportion of base and slope, scaled to what is seen: after one observation
    of something a hundred times slower all of it is taken to be so. The slope is drawn to that proportion until
    observations far enough apart say more (a ridge).
    """

    __slots__ = (
        "_ats",
        "_believed",
        "_keep",
        "_least",
        "_most",
        "_products",
        "_ridge",
        "_squares",
        "_values",
        "_weights",
        "base",
        "samples",
        "slope",
    )

    def __init__(self, *, base: float, slope: float, least: float, most: float, ridge: float, keep: float) -> None:
        """A line that nothing was observed of.

        Args:
            base: the value at 0, as believed beforehand. It never goes below 0.
            slope: what is added for one more, as believed beforehand.
            least: the smallest slope that is believed.
            most: the largest one, unless what is seen is so large that the proportion asks for more.
            ridge: how much the belief about the slope weighs: the weighted squared deviation of the observations at
                which they count as much.
            keep: weight that an observation keeps with each new one.
        """
        self.base, self.slope, self.samples = base, slope, 0
        self._believed = base, slope
        self._least, self._most, self._ridge, self._keep = least, most, ridge, keep
        self._weights = self._ats = self._values = self._squares = self._products = 0.0

    def at(self, at: float) -> float:
        """The expected value there."""
        return self.base + self.slope * at

    def observe(self, at: float, value: float, weight: float = 1.0) -> None:
        """Something was observed, there. `weight` is against the usual observation's."""
        keep = self._keep
        self._weights = keep * self._weights + weight
        self._ats = keep * self._ats + weight * at
        self._values = keep * self._values + weight * value
        self._squares = keep * self._squares + weight * at * at
        self._products = keep * self._products + weight * at * value
        self.samples += 1
        self._fit()

    def _fit(self) -> None:
        base, slope = self._believed
        at, value = self._ats / self._weights, self._values / self._weights
        slope *= value / (base + slope * at)
        most = max(self._most, slope)
        spread = max(0.0, self._squares - at * self._ats)
        together = self._products - at * self._values
        slope = min(max((together + self._ridge * slope) / (spread + self._ridge), self._least), most)
        base = value - slope * at
        if base < 0.0:
            # Through the origin, then.
            base, slope = 0.0, max(self._products / max(self._squares, _TINY), self._least)
        self.base, self.slope = base, slope
