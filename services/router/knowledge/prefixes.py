"""Which leading blocks of prompts each worker is expected to have in its cache."""

import functools
from collections import OrderedDict
from collections.abc import Sequence

# Blocks of a worker whose cache size is not known: llm-d's default for a server.
DEFAULT_BLOCKS = 31_250


class PrefixIndex:
    """Blocks by worker, least recently used ones forgotten first.

    Workers are numbered slots. Who has a block is a set of bits, so that a prompt is looked up for all workers at once:
    O(blocks), whatever the number of workers.
    """

    def __init__(self, slots: int, *, capacity: int = DEFAULT_BLOCKS) -> None:
        self._holders: dict[int, int] = {}
        self._blocks: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(slots)]
        self._capacity = [capacity] * slots

    def resize(self, slot: int, capacity: int) -> None:
        """A worker's cache holds so many blocks."""
        self._capacity[slot] = max(1, capacity)
        self._trim(slot)

    def match(self, blocks: Sequence[int]) -> dict[int, int]:
        """Number of leading blocks that each slot has, for those that have any."""
        found: dict[int, int] = {}
        for slots, depth in self.levels(blocks):
            found.update(dict.fromkeys(slots, depth))
        return found

    def levels(self, blocks: Sequence[int]) -> list[tuple[Sequence[int], int]]:
        """Slots and the number of leading blocks that they have at least, from many slots to ever fewer of them."""
        found: list[tuple[Sequence[int], int]] = []
        having, depth = -1, 0
        for block in blocks:
            still = having & self._holders.get(block, 0)
            if still != having and depth:
                found.append((_slots(having), depth))
            if not still:
                return found
            having, depth = still, depth + 1
        if depth:
            found.append((_slots(having), depth))
        return found

    def add(self, slot: int, blocks: Sequence[int]) -> None:
        """A worker reads these blocks. The first of them are forgotten last, since others stand on them."""
        held, bit, holders = self._blocks[slot], 1 << slot, self._holders
        for block in reversed(blocks):
            if block in held:
                held.move_to_end(block)
            else:
                held[block] = None
                holders[block] = holders.get(block, 0) | bit
        self._trim(slot)

    def learn(self, slot: int, blocks: Sequence[int]) -> None:
        """A worker has read these blocks, as it says. What was placed there by the same router is known already."""
        if blocks and blocks[-1] not in self._blocks[slot]:
            self.add(slot, blocks)

    def forget(self, slot: int) -> None:
        """A worker's cache is empty: it is a new process."""
        for block in self._blocks[slot]:
            self._drop(block, slot)
        self._blocks[slot].clear()

    def moved(self, slots: Sequence[int | None]) -> "PrefixIndex":
        """The same blocks under other numbers; this index is not to be used any more.

        Args:
            slots: for each slot of the new index the one that it was; None is a worker that nothing is known of.
        """
        if list(slots) == list(range(len(self._blocks))):
            return self
        index = PrefixIndex(len(slots))
        for slot, earlier in enumerate(slots):
            if earlier is None:
                continue
            index._capacity[slot] = self._capacity[earlier]
            index._blocks[slot] = self._blocks[earlier]
            for block in self._blocks[earlier]:
                index._holders[block] = index._holders.get(block, 0) | 1 << slot
        return index

    def size(self, slot: int) -> int:
        """Number of blocks that a worker is expected to have."""
        return len(self._blocks[slot])

    def _trim(self, slot: int) -> None:
        held = self._blocks[slot]
        while len(held) > self._capacity[slot]:
            block, _ = held.popitem(last=False)
            self._drop(block, slot)

    def _drop(self, block: int, slot: int) -> None:
        left = self._holders[block] & ~(1 << slot)
        if left:
            self._holders[block] = left
        else:
            del self._holders[block]


@functools.lru_cache(maxsize=1024)
def _slots(bits: int) -> Sequence[int]:
    """The numbers of the bits that are set. Who has the beginning that many prompts share seldom changes."""
    found = []
    while bits:
        lowest = bits & -bits
        found.append(lowest.bit_length() - 1)
        bits ^= lowest
    return found
