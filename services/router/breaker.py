"""A circuit breaker: leaves a worker alone that keeps failing, and finds out when it is well again."""

import enum
import random

from services.config.router import Breaker as Settings


class State(enum.Enum):
    """Whether attempts may pass."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"  # one attempt is out to see
    OPEN = "open"


class Breaker:
    """The breaker of one worker.

    While it is not closed only its probe's end counts: attempts that were already there say nothing new.
    """

    __slots__ = ("_failures", "_openings", "_probe_until", "_settings", "reopens_at", "state")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.reset()

    def reconfigure(self, settings: Settings) -> None:
        """Go by other settings from now on. What is open stays so."""
        self._settings = settings

    def reset(self) -> None:
        """Forget everything: the worker is a new process."""
        self.state = State.CLOSED
        self.reopens_at = 0.0
        self._failures = 0
        self._openings = 0
        self._probe_until = 0.0

    @property
    def admits_at(self) -> float:
        """From when on an attempt may be placed, if nothing happens until then."""
        if self.state is State.CLOSED:
            return 0.0
        # A probe that hangs must not keep the worker out for as long as the longest request may take.
        return self.reopens_at if self.state is State.OPEN else self._probe_until

    def admits(self, now: float) -> bool:
        """Whether an attempt may be placed."""
        return self.state is State.CLOSED or now >= self.admits_at

    def on_placed(self, now: float) -> bool:
        """An attempt goes to the worker. Returns whether it is a probe."""
        if self.state is State.CLOSED:
            return False
        self.state = State.HALF_OPEN
        self._probe_until = now + self._settings.open_max_seconds
        return True

    def on_first_content(self, *, probe: bool) -> bool:
        """An attempt has begun to answer. Returns whether that closed the breaker."""
        if not probe or self.state is State.CLOSED:
            return False
        self.state = State.CLOSED
        # On probation until a whole answer has come: the next failure opens it again, for longer.
        self._failures = self._settings.consecutive_failures - 1
        return True

    def on_success(self, *, probe: bool) -> bool:
        """An attempt ended well. Returns whether that closed the breaker."""
        if self.state is not State.CLOSED and not probe:
            return False
        closed = self.state is not State.CLOSED
        self.state = State.CLOSED
        self._failures = 0
        self._openings = 0
        return closed

    def on_failure(self, *, probe: bool, now: float, rng: random.Random, may_open: bool) -> bool:
        """An attempt failed hard. Returns whether that opened the breaker.

        Args:
            probe: whether the attempt was the probe.
            now: the time.
            rng: for the jitter, so that workers that fell together are not probed together.
            may_open: whether one more worker may be left out; a breaker that is open already stays so regardless.
        """
        if self.state is not State.CLOSED:
            reopened = probe and self.state is State.HALF_OPEN
            if reopened:
                self._open(now, rng)
            return reopened
        self._failures += 1
        if self._failures < self._settings.consecutive_failures or not may_open:
            return False
        self._open(now, rng)
        return True

    def on_nothing_learned(self, *, probe: bool) -> None:
        """An attempt ended in a way that says nothing of the worker: if it was the probe, the next one is."""
        if probe and self.state is State.HALF_OPEN:
            self.state = State.OPEN

    def _open(self, now: float, rng: random.Random) -> None:
        # 2**30 s is beyond any limit; without the bound a long outage would overflow the float.
        seconds = self._settings.open_seconds * 2.0 ** min(self._openings, 30)
        self.state = State.OPEN
        self.reopens_at = now + min(seconds, self._settings.open_max_seconds) * rng.uniform(0.8, 1.2)
        self._openings += 1
