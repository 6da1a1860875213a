"""One timer for many waits, one after the other."""

import asyncio
import math
from collections.abc import Callable


class Watch:
    """Says when a wait is too long.

    Each wait moves a number; the timer, once it fires, looks at it and sets out again. A stream of a hundred tokens a
    second has a timer a minute then instead of a hundred a second.
    """

    def __init__(self, late: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        """Begin with no wait.

        Args:
            late: called once, when a wait is too long.
            loop: whose clock it is.
        """
        self.rang = False
        self._late = late
        self._loop = loop
        self._by = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = math.inf

    def begin(self, *, by: float) -> None:
        """A wait begins, and must be over by a moment on the loop's clock."""
        self._by = by
        if by < self._fires_at:
            self._set(by)

    def end(self) -> None:
        """The wait is over."""
        self._by = math.inf

    def close(self) -> None:
        """No wait comes any more."""
        self._by = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires_at = at
        self._timer = self._loop.call_at(at, self._fire)

    def _fire(self) -> None:
        self._timer, self._fires_at = None, math.inf
        if self._by <= self._loop.time():
            self.rang = True
            self._late()
        elif self._by < math.inf:
            self._set(self._by)
