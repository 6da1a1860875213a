"""How many requests one key may have under way: as many as its vendor turns out to bear."""

import enum
import math


class Outcome(enum.Enum):
    """How a request ended, as far as it says something of the vendor's room."""

    WELL = "well"
    REFUSED = "refused"  # for lack of room: a rate limit, or overload
    OTHER = "other"  # left by its caller, or failed for another reason


class Limiter:
    """Additive increase, multiplicative decrease, as TCP Reno avoids congestion (RFC 5681, section 3.1).

    The limit w grows by 1/w with each request that ends well and saw every place taken, which makes about one place a
    round; a limit that is not reached says nothing and stays (RFC 7661). A refusal makes it w/2, and never less than 1.
    What was asked before the last decrease and is refused after it tells of the same crowd, and counts no more
    (RFC 6582's `recover`): one decrease a round trip.
    """

    def __init__(self, *, initial: float = math.inf, maximum: float = math.inf) -> None:
        self.limit = initial
        self.running = 0
        self._maximum = maximum
        self._full_at = -math.inf
        self._decreased_at = -math.inf

    @property
    def has_room(self) -> bool:
        """Whether one more request may begin."""
        return self.running < math.floor(self.limit) if math.isfinite(self.limit) else True

    def begin(self, *, now: float) -> "Lease":
        """Take a place. Whoever does has looked for room; the lease is to be ended however the request ends."""
        self.running += 1
        if not self.has_room:
            self._full_at = now
        return Lease(self, begun=now)

    def ended(self, outcome: Outcome, *, begun: float, now: float) -> None:
        """Learn from a request. For its lease, which says so once."""
        # Not at its end alone: nobody waits in line, so that a crowd leaves its places empty one by one.
        full = not self.has_room or self._full_at >= begun
        self.running -= 1
        if outcome is Outcome.WELL and full:
            self.limit = min(self.limit + 1 / self.limit, self._maximum)
        elif outcome is Outcome.REFUSED and begun >= self._decreased_at:
            self.limit = max(self.limit / 2, 1.0)
            self._decreased_at = now


class Lease:
    """One place at a limiter."""

    __slots__ = ("_begun", "_limiter")

    def __init__(self, limiter: Limiter, *, begun: float) -> None:
        self._limiter: Limiter | None = limiter
        self._begun = begun

    def end(self, outcome: Outcome, *, now: float) -> None:
        """Give the place back. Only the first time counts."""
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter.ended(outcome, begun=self._begun, now=now)
