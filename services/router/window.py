"""How many of the last attempts went well."""

from collections import deque


class Window:
    """The ends of the last attempts: at most so many, and none older than so many seconds.

    A share of all attempts of the last half minute, as linkerd has it, would see a busy worker's trouble only after
    hundreds of failures, since as many went well just before.
    """

    __slots__ = ("_ends", "_seconds", "well")

    def __init__(self, seconds: float, attempts: int) -> None:
        self._seconds = seconds
        self._ends: deque[tuple[float, bool]] = deque(maxlen=attempts)
        self.well = 0

    @property
    def total(self) -> int:
        """How many attempts there are."""
        return len(self._ends)

    def resized(self, seconds: float, attempts: int) -> "Window":
        """A window of another size with the same ends, as far as they fit."""
        other = Window(seconds, attempts)
        for now, well in self._ends:
            other.add(now, well=well)
        return other

    def clear(self) -> None:
        """Forget everything."""
        self._ends.clear()
        self.well = 0

    def add(self, now: float, *, well: bool) -> None:
        """An attempt ended. `well` and `total` then hold for this moment."""
        ends = self._ends
        while ends and (ends[0][0] <= now - self._seconds or len(ends) == ends.maxlen):
            self.well -= ends.popleft()[1]
        ends.append((now, well))
        self.well += well
