"""An ask that waits, and sets of them in the order in which their time is up."""

import dataclasses
import heapq
from collections.abc import Hashable

from google.rpc import status_pb2

from services.router.leases import GatewayStream, Generation
from services.router.request import Request

_SPARE = 64


@dataclasses.dataclass(slots=True, eq=False)
class Waiter:
    """An ask that waits.

    Attributes:
        stream: where it is to be answered.
        generation: whose next attempt it is.
        request: what was asked.
        since: when it began to wait.
        until: when there is no use in waiting any longer.
        lane: what those have in common that may use the same workers.
        cause: how the attempt before it ended, if there was one: what to tell if there is no other.
        number: counts those that have waited, from 1; 0 before it does.
        waiting: whether it still does.
    """

    stream: GatewayStream
    generation: Generation
    request: Request
    since: float
    until: float
    lane: Hashable
    cause: status_pb2.Status | None = None
    number: int = 0
    waiting: bool = False

    @property
    def key(self) -> str:
        """Whose it is."""
        return self.request.ask.key


class Deadlines:
    """Waiters, of which the one whose time is up first is found at once. O(log n) for each change."""

    __slots__ = ("_heap", "count")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Waiter]] = []
        self.count = 0

    def add(self, waiter: Waiter) -> None:
        """Take one in, which waits."""
        self.count += 1
        heapq.heappush(self._heap, (waiter.until, waiter.number, waiter))

    def on_left(self) -> None:
        """One of them waits no longer."""
        self.count -= 1
        if len(self._heap) > 2 * self.count + _SPARE:
            self._heap = [entry for entry in self._heap if entry[2].waiting]
            heapq.heapify(self._heap)

    def first(self) -> Waiter | None:
        """The one whose time is up first; None where there is none."""
        heap = self._heap
        while heap and not heap[0][2].waiting:
            heapq.heappop(heap)
        return heap[0][2] if heap else None
