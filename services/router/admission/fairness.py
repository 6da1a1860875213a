"""Fair shares between keys: a virtual token counter for each (Sheng et al., OSDI 2024, arXiv 2401.00588)."""

import dataclasses
import math
from collections.abc import Iterator

from services.router.admission.ranking import Ranking

# What a token of the prompt and one of the answer count for, as in the paper: writing takes longer than reading.
READ, WRITTEN = 1.0, 2.0
# Weights beyond these would be mistakes.
_LEAST_WEIGHT, _MOST_WEIGHT = 1e-3, 1e6
# Keys that are remembered while they have nothing waiting.
_KEYS = 10_000


@dataclasses.dataclass(slots=True)
class _Account:
    counter: float = 0.0
    waiting: int = 0


class Accounts:
    """What each key has had. Whoever has had least, by its weight, is served next.

    A key that has nothing waiting gains no credit by that: when it asks again it begins where the least served of those
    that wait is, or, while nobody waits, where the one served last was.
    """

    __slots__ = ("_accounts", "_floor", "_waiting")

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}
        self._waiting = Ranking(self.counter)
        self._floor = 0.0

    def __len__(self) -> int:
        return len(self._accounts)

    def inherit(self, before: "Accounts") -> None:
        """Take over what others knew each key to have had, while nobody waits here."""
        self._floor = before.floor
        self._accounts = {key: _Account(counter) for key, counter in before.counters()}

    @property
    def floor(self) -> float:
        """Where a key begins that nobody knows, while nobody waits."""
        return self._floor

    def counters(self) -> Iterator[tuple[str, float]]:
        """Each key that is known, with its counter."""
        for key, account in self._accounts.items():
            yield key, account.counter

    def counter(self, key: str) -> float:
        """Tokens that a key has had, weighted; only differences mean anything."""
        account = self._accounts.get(key)
        return self._floor if account is None else account.counter

    def on_waiting(self, key: str) -> None:
        """One more request of the key waits."""
        account = self._account(key)
        if not account.waiting:
            self._lift(account)
            self._waiting.add(key)
        account.waiting += 1

    def on_left(self, key: str) -> None:
        """One less does."""
        account = self._account(key)
        account.waiting -= 1
        if not account.waiting:
            self._waiting.discard(key)

    def on_placed(self, key: str, weight: float, tokens: float) -> float:
        """A request of the key is placed; its worker has to read so many tokens. Returns what it is charged."""
        account = self._account(key)
        if account.counter > self._floor:
            self._floor = account.counter
        elif not len(self._waiting):
            account.counter = self._floor
        charged = READ * tokens / sane(weight)
        account.counter += charged
        return charged

    def settle(self, key: str, weight: float, *, charged: float, read: float, written: float) -> bool:
        """A request of the key has ended. Returns whether its counter has fallen by that.

        Args:
            key: whose it is.
            weight: its share.
            charged: what it was charged when it was placed.
            read: tokens of the prompt that were read, less those that were in the cache.
            written: tokens of the answer.
        """
        change = (READ * read + WRITTEN * written) / sane(weight) - charged
        self._account(key).counter += change
        if change < 0:
            self._waiting.lowered(key)
        return change < 0

    def _lift(self, account: _Account) -> None:
        least = self._waiting.least()
        account.counter = max(account.counter, self._floor if least is None else self.counter(least))

    def _account(self, key: str) -> _Account:
        account = self._accounts.get(key)
        if account is None:
            if len(self._accounts) >= _KEYS:
                self._forget()
            account = self._accounts[key] = _Account(self._floor)
        return account

    def _forget(self) -> None:
        """Forget idle keys: first those that would begin at the floor anyway, then those that are least above it."""
        busy = {key: one for key, one in self._accounts.items() if one.waiting}
        idle = sorted((one.counter, key) for key, one in self._accounts.items() if not one.waiting)
        indebted = [key for counter, key in idle if counter > self._floor][-_KEYS // 2 :]
        self._accounts = busy | {key: self._accounts[key] for key in indebted}


def sane(weight: float) -> float:
    """A key's weight as it counts: 1 where none is given."""
    if weight == 1.0 or not 0.0 < weight < math.inf:
        return 1.0
    return min(max(weight, _LEAST_WEIGHT), _MOST_WEIGHT)
