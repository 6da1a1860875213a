"""What is still to happen, in the order in which it will."""

import heapq
import math
from collections.abc import Callable
from typing import Any


class Timeline:
    """The simulated time, and a heap of calls. Calls of the same time happen in the order they were entered."""

    __slots__ = ("_calls", "_number", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self._calls: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0

    @property
    def next_at(self) -> float:
        """When the next thing happens."""
        return self._calls[0][0] if self._calls else math.inf

    def at(self, time: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call at that time; a time that has passed is now."""
        self._number += 1
        heapq.heappush(self._calls, (max(self.now, time), self._number, call, arguments))

    def step(self) -> bool:
        """Let the next thing happen. Returns whether there was one."""
        if not self._calls:
            return False
        self.now, _, call, arguments = heapq.heappop(self._calls)
        call(*arguments)
        return True
