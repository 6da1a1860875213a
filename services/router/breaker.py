"""A circuit breaker: leaves a worker alone that keeps failing, and finds out when it is well again."""

import enum
import random

from services.config.router import Breaker as Settings
from services.router.window import Window


class State(enum.Enum):
    """Whether attempts may pass."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"  # one attempt is out to see
    OPEN = "open"


class Breaker:
    """The breaker of one worker: it opens after failures in a row, or when too few of the last attempts went well.

    These are the two rules of linkerd's unified breaker, but for the window, see there. A rate limit counts for
    neither, unlike there: it holds the model that is limited, for as long as it says; a breaker would take the worker.

    While it is not closed only its probe's end counts: attempts that were already there say nothing new.
    """

    __slots__ = ("_closed_at", "_failures", "_openings", "_probe_until", "_settings", "_window", "reopens_at", "state")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._window = Window(settings.window_seconds, settings.window_attempts)
        self.reset()

    def reconfigure(self, settings: Settings) -> None:
        """Go by other settings from now on. What is open stays so."""
        self._settings = settings
        self._window = self._window.resized(settings.window_seconds, settings.window_attempts)

    def reset(self) -> None:
        """Forget everything: the worker is a new process."""
        self.state = State.CLOSED
        self.reopens_at = 0.0
        self._failures = 0
        self._openings = 0
        self._probe_until = 0.0
        self._closed_at = 0.0
        self._window.clear()

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

    def on_first_content(self, *, probe: bool, now: float) -> bool:
        """An attempt has begun to answer. Returns whether that closed the breaker."""
        if not probe or self.state is State.CLOSED:
            return False
        self._close(now)
        # On probation until a whole answer has come: the next failure opens it again, for longer.
        self._failures = self._settings.consecutive_failures - 1
        return True

    def on_success(self, *, probe: bool, now: float) -> bool:
        """An attempt ended well. Returns whether that closed the breaker."""
        closed = self.state is not State.CLOSED
        if closed:
            if not probe:
                return False
            self._close(now)
        self._failures = 0
        self._window.add(now, well=True)
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
        self._window.add(now, well=False)
        if not may_open or not (self._failures >= self._settings.consecutive_failures or self._too_few_went_well()):
            return False
        if now - self._closed_at > self._settings.window_seconds:
            self._openings = 0  # it has been well for long enough: this is a new trouble
        self._open(now, rng)
        return True

    def on_nothing_learned(self, *, probe: bool) -> None:
        """An attempt ended in a way that says nothing of the worker: if it was the probe, the next one is."""
        if probe and self.state is State.HALF_OPEN:
            self.state = State.OPEN

    def _too_few_went_well(self) -> bool:
        """Whether the share of the last attempts that went well is too low."""
        well, total = self._window.well, self._window.total
        return total >= self._settings.window_attempts and well < self._settings.success_rate * total

    def _close(self, now: float) -> None:
        self.state = State.CLOSED
        self._closed_at = now
        self._window.clear()  # what made it open must not open it again

    def _open(self, now: float, rng: random.Random) -> None:
        # 2**30 s is beyond any limit; without the bound a long outage would overflow the float.
        seconds = self._settings.open_seconds * 2.0 ** min(self._openings, 30)
        self.state = State.OPEN
        self.reopens_at = now + min(seconds, self._settings.open_max_seconds) * rng.uniform(0.8, 1.2)
        self._openings += 1
