"""Whether there is too little room in the fleet, so that gateways should tell at once what makes some."""

import math

# A fleet at its limit is so again and again: it counts as crowded until this has not been seen for so long.
_CALM_SECONDS = 1.0


class Crowding:
    """Whether requests wait for room, or did a moment ago. Time is an argument.

    Attributes:
        crowded: whether they do.
    """

    __slots__ = ("_seen_at", "crowded")

    def __init__(self) -> None:
        self.crowded = False
        self._seen_at = -math.inf

    def look(self, short: bool, now: float) -> bool:
        """There is too little room now, or enough. Returns whether `crowded` is another than before."""
        if short:
            self._seen_at = now
        before, self.crowded = self.crowded, now < self._seen_at + _CALM_SECONDS
        return self.crowded is not before
