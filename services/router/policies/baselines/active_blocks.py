"""Blocks of running requests by worker, those that requests share counted once."""

from collections.abc import Sequence


class ActiveBlocks:
    """How many blocks each slot holds for what runs there."""

    def __init__(self) -> None:
        self._users: dict[int, dict[int, int]] = {}  # requests that use a block, by block and slot
        self._sizes: dict[int, int] = {}

    def size(self, slot: int) -> int:
        """Blocks that are held there."""
        return self._sizes.get(slot, 0)

    def shared(self, blocks: Sequence[int]) -> dict[int, int]:
        """How many of these blocks each slot holds already, for those that hold any."""
        found: dict[int, int] = {}
        for block in blocks:
            users = self._users.get(block)
            if not users:
                break  # chained: nobody has a later one without this
            for slot in users:
                found[slot] = found.get(slot, 0) + 1
        return found

    def take(self, slot: int, blocks: Sequence[int], unnamed: int) -> None:
        """A request runs there, with these blocks and so many that nobody else can share."""
        added = unnamed
        for block in blocks:
            users = self._users.setdefault(block, {})
            added += slot not in users
            users[slot] = users.get(slot, 0) + 1
        self._sizes[slot] = self.size(slot) + added

    def release(self, slot: int, blocks: Sequence[int], unnamed: int) -> None:
        """A request that was taken does not run any more."""
        freed = unnamed
        for block in blocks:
            users = self._users.get(block, {})
            left = users.get(slot, 0) - 1
            if left > 0:
                users[slot] = left
            elif users.pop(slot, None) is not None:
                freed += 1
                if not users:
                    del self._users[block]
        self._sizes[slot] = max(0, self.size(slot) - freed)

    def clear(self, slot: int) -> None:
        """Nothing runs there."""
        for block in [block for block, users in self._users.items() if slot in users]:
            users = self._users[block]
            del users[slot]
            if not users:
                del self._users[block]
        self._sizes.pop(slot, None)
