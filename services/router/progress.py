"""Whether a worker gets on with what it has: own attempts that wait there for their first content."""

import math
from typing import NamedTuple

# An attempt that takes so many times longer than expected does not just wait its turn.
_TIMES_EXPECTED = 10.0
# A slow engine's reading speed in tokens a second, where nothing was learned yet.
_READING = 5_000.0
# A worker that is stalled is given an attempt so often, to find out whether it still is.
_TRIAL_SECONDS = 10.0


class Pending(NamedTuple):
    """An attempt without content so far: tokens to be read, when it was placed, and when content was expected."""

    tokens: int
    placed_at: float
    expected_seconds: float | None


class Progress:
    """The attempts that wait, and whether anything at all has come of late.

    A worker stalls when the oldest of them has waited far longer than expected and nothing else has come meanwhile:
    no content, no whole answer, no event that its reports count. A queue that moves is no stall. One that has stalled
    stays so until something comes, even if all its callers give up: otherwise it would be given new ones at once.
    Attempts from before that moment no longer count then: they may well be lost, in a worker that is well again.

    Attributes:
        pending: attempts without content, by id, oldest first.
        tokens: their prompt tokens.
        stalls_at: from when on the worker counts as stalled, unless something comes before.
    """

    __slots__ = (
        "_floor",
        "_latched",
        "_lost_until",
        "_moved_at",
        "_tried_at",
        "_usual",
        "pending",
        "stalls_at",
        "tokens",
    )

    def __init__(self, floor: float) -> None:
        self._floor = floor
        self.pending: dict[str, Pending] = {}
        self.tokens = 0
        self.stalls_at = math.inf
        self._lost_until = -math.inf
        self._latched = False
        self._tried_at = -math.inf
        self.reset(0.0)

    @property
    def oldest(self) -> Pending | None:
        """The attempt that has waited longest, of those that are not lost."""
        for attempt in self.pending.values():
            if attempt.placed_at > self._lost_until:
                return attempt
        return None

    def reset(self, now: float) -> None:
        """Forget how it was: the worker is a new process."""
        self._usual = 0.0
        self._lost_until = -math.inf
        self.stalls_at = math.inf
        self.on_moved(now)

    def stalled(self, at: float) -> bool:
        """Whether it counts as stalled."""
        return at >= self.stalls_at

    def bars(self, at: float) -> tuple[bool, float]:
        """Whether attempts should go elsewhere, and when that changes by itself: it is stalled, and no trial is due."""
        if at < self.stalls_at:
            return False, self.stalls_at
        trial_at = self._tried_at + _TRIAL_SECONDS
        return (True, trial_at) if at < trial_at else (False, math.inf)

    def on_waiting(self, attempt_id: str, attempt: Pending) -> None:
        """An attempt waits for its first content."""
        self.pending[attempt_id] = attempt
        self.tokens += attempt.tokens
        self._tried_at = max(self._tried_at, attempt.placed_at)
        if self.stalls_at == math.inf:
            self._reckon()

    def on_left(self, attempt_id: str) -> None:
        """An attempt waits no longer, for whatever reason. Saying so twice changes nothing."""
        attempt = self.pending.pop(attempt_id, None)
        if attempt is not None:
            self.tokens -= attempt.tokens
            self._reckon()

    def on_first_content(self, usual_seconds: float, now: float) -> None:
        """Content has come, which lately takes so long."""
        self._usual = usual_seconds
        self.on_moved(now)

    def on_moved(self, now: float) -> None:
        """Something has come of the worker."""
        self._moved_at = now
        if now >= self.stalls_at:
            self._lost_until = now
        self._latched = False
        self._reckon()

    def look(self, now: float) -> bool:
        """Take note of the time: what has stalled by now stays so. Returns whether it has."""
        if now >= self.stalls_at:
            self._latched = True
            self.stalls_at = -math.inf
        return self._latched

    def _reckon(self) -> None:
        if self._latched:
            return
        oldest = self.oldest
        if oldest is None:
            self.stalls_at = math.inf
            return
        expected = oldest.expected_seconds
        if expected is None:
            expected = self._usual + oldest.tokens / _READING
        patience = max(self._floor, _TIMES_EXPECTED * expected)
        self.stalls_at = max(oldest.placed_at, self._moved_at) + patience
