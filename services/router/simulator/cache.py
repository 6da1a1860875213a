"""The blocks of one engine's attention cache: which are in use, which may be found again, which go first."""

from collections import OrderedDict
from collections.abc import Sequence


class Holding:
    """The blocks that one request holds: shared ones by their ids, and a number that are its own."""

    __slots__ = ("own", "shared")

    def __init__(self) -> None:
        self.shared: list[int] = []
        self.own = 0


class BlockCache:
    """Blocks with prefix reuse: pinned while a request runs, then kept until room is needed, oldest use first.

    All room that a request can come to need is set aside when it starts, so that none has to be preempted. Real engines
    overcommit and preempt; how often they do is no part of this model.
    """

    __slots__ = ("_idle", "_own", "_pinned", "capacity")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._pinned: dict[int, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._own = 0

    @property
    def held(self) -> int:
        """Blocks that running requests hold."""
        return self._own + len(self._pinned)

    @property
    def usage(self) -> float:
        """Share of the blocks that running requests hold."""
        return (self._own + len(self._pinned)) / self.capacity

    def __contains__(self, block: int) -> bool:
        return block in self._pinned or block in self._idle

    def matched(self, blocks: Sequence[int], most: int) -> int:
        """How many leading blocks are there, at most `most`."""
        pinned, idle, count = self._pinned, self._idle, 0
        for block in blocks:
            if count == most or not (block in pinned or block in idle):
                break
            count += 1
        return count

    def take(self, blocks: Sequence[int], hit: int, need: int) -> Holding | None:
        """Room for a request of `need` blocks, the first `hit` of which are there; None where there is not enough."""
        pinned, idle = self._pinned, self._idle
        found = blocks[:hit]
        woken = sum(block in idle for block in found)
        if self._own + len(pinned) + woken + need - hit > self.capacity:
            return None
        holding = Holding()
        for block in found:
            idle.pop(block, None)
            pinned[block] = pinned.get(block, 0) + 1
        holding.shared.extend(found)
        holding.own = need - hit
        self._own += need - hit
        for _ in range(self._own + len(pinned) + len(idle) - self.capacity):
            idle.popitem(last=False)
        return holding

    def publish(self, holding: Holding, blocks: Sequence[int]) -> None:
        """These blocks of a request are computed, and others may find them from now on."""
        pinned, idle, shared = self._pinned, self._idle, holding.shared
        for block in blocks:
            if block in pinned:
                continue  # two requests computed the same; the second copy stays the request's own
            idle.pop(block, None)
            pinned[block] = 1
            shared.append(block)
            holding.own -= 1
            self._own -= 1

    def release(self, holding: Holding) -> None:
        """The request is over. Its last block is the first to go: nothing builds on it."""
        pinned, idle = self._pinned, self._idle
        for block in reversed(holding.shared):
            count = pinned[block] - 1
            if count:
                pinned[block] = count
            else:
                del pinned[block]
                idle[block] = None
        self._own -= holding.own
        holding.shared, holding.own = [], 0

    def clear(self) -> None:
        """Everything is lost, what requests hold as well."""
        self._pinned, self._idle, self._own = {}, OrderedDict(), 0
