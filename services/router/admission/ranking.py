"""A set of names, of which the one with the lowest value is found at once, though values change meanwhile."""

import heapq
from collections.abc import Callable

# A heap is made anew once it holds so many more entries than names.
_SPARE = 64


class Ranking:
    """Names by a value that is computed when it is looked at. O(log n) for each change.

    A value may rise at any time; a fall has to be told with `lowered`.
    """

    __slots__ = ("_heap", "_names", "_value")

    def __init__(self, value: Callable[[str], float]) -> None:
        self._value = value
        self._names: set[str] = set()
        # For each name at least one entry that is not above its value; others are out of date.
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, name: str) -> None:
        """Take a name in."""
        self._names.add(name)
        self._push(name)

    def discard(self, name: str) -> None:
        """Leave a name out, if it is there."""
        self._names.discard(name)

    def lowered(self, name: str) -> None:
        """The value of a name has fallen."""
        if name in self._names:
            self._push(name)

    def least(self) -> str | None:
        """The name with the lowest value, the first one by the alphabet among equals; None where there is no name."""
        heap, names = self._heap, self._names
        while heap:
            entered, name = heap[0]
            if name in names:
                value = self._value(name)
                if value == entered:
                    return name
                if value > entered:
                    heapq.heapreplace(heap, (value, name))
                    continue
            heapq.heappop(heap)
        return None

    def _push(self, name: str) -> None:
        if len(self._heap) > 2 * len(self._names) + _SPARE:
            self._heap = [(self._value(one), one) for one in self._names]
            heapq.heapify(self._heap)
        else:
            heapq.heappush(self._heap, (self._value(name), name))
