"""Steps of an engine that are planned at once, since each takes only a little longer than the one before."""

import math


class Stride:
    """So many steps from a moment on: the first takes `first` seconds, each further one `growth` more.

    While sequences only decode, their caches grow by a token a step, and the time of a step with them. A stride without
    steps is a pause.
    """

    __slots__ = ("began", "first", "growth", "steps")

    def __init__(self, began: float, steps: int, first: float, growth: float) -> None:
        self.began = began
        self.steps = steps
        self.first = first
        self.growth = growth

    @property
    def ends_at(self) -> float:
        """When the last step is over."""
        return self.began + self._seconds(self.steps)

    def complete_by(self, now: float) -> int:
        """Number of steps that are over by then."""
        return min(self.steps, self._whole(now - self.began))

    def cut(self, now: float) -> None:
        """No step is to begin after that time; the one under way is finished, and one there is at least."""
        passed = now - self.began
        steps = self._whole(passed)
        steps += self._seconds(steps) < passed
        self.steps = min(self.steps, max(1, steps))

    def _seconds(self, steps: int) -> float:
        return steps * self.first + self.growth * (steps * (steps - 1) / 2)

    def _whole(self, passed: float) -> int:
        """The most steps that take no longer than that."""
        if passed <= 0 or not self.steps:
            return 0
        # The root of steps * first + growth * steps * (steps - 1) / 2 = passed, in the form that is exact for a small
        # growth, and then put right where rounding has moved it over a whole number.
        half = self.growth / 2
        linear = self.first - half
        steps = math.floor(2 * passed / (linear + math.sqrt(linear * linear + 4 * half * passed)))
        while steps > 0 and self._seconds(steps) > passed:
            steps -= 1
        while self._seconds(steps + 1) <= passed:
            steps += 1
        return steps
