"""The asks for one model that wait, and whose turn it is."""

from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterator

from services.router.admission.fairness import Accounts, sane
from services.router.admission.ranking import Ranking
from services.router.admission.waiter import Deadlines, Waiter

# Of so many turns one goes to a criticality that is not the highest that waits, to each in its turn. Whoever waits at
# the lowest has at least one turn in LEVELS times as many.
TURNS = 16
# CRITICALITY_SHEDDABLE is 1, CRITICALITY_CRITICAL_PLUS is 4.
LEVELS = 4


class _Line:
    """The waiters of one criticality that may use the same workers: the key that has had least, then its deadlines."""

    def __init__(self, accounts: Accounts) -> None:
        self.keys: dict[str, Deadlines] = {}
        self.order = Ranking(accounts.counter)

    def put(self, waiter: Waiter) -> None:
        mine = self.keys.get(waiter.key)
        if mine is None:
            mine = self.keys[waiter.key] = Deadlines()
            self.order.add(waiter.key)
        mine.add(waiter)

    def drop(self, waiter: Waiter) -> None:
        mine = self.keys[waiter.key]
        mine.on_left()
        if not mine.count:
            del self.keys[waiter.key]
            self.order.discard(waiter.key)

    def first(self) -> Waiter | None:
        key = self.order.least()
        return None if key is None else self.keys[key].first()


class _Level:
    """The waiters of one criticality, by key, in the order they came."""

    def __init__(self) -> None:
        self.count = 0
        self.keys: dict[str, OrderedDict[Waiter, None]] = {}
        self.longest = Ranking(self._shortness)

    def put(self, waiter: Waiter) -> None:
        self.count += 1
        mine = self.keys.setdefault(waiter.key, OrderedDict())
        mine[waiter] = None
        if len(mine) == 1:
            self.longest.add(waiter.key)
        else:
            self.longest.lowered(waiter.key)

    def drop(self, waiter: Waiter) -> None:
        self.count -= 1
        mine = self.keys[waiter.key]
        del mine[waiter]
        if not mine:
            del self.keys[waiter.key]
            self.longest.discard(waiter.key)

    def _shortness(self, key: str) -> float:
        mine = self.keys[key]
        return -len(mine) / sane(next(reversed(mine)).request.ask.key_weight)


class Queue:
    """All that wait for one model.

    First by criticality, in a way that starves nobody (`TURNS`); then the key that has had least; within a key the one
    whose time is up first. Each change is O(log n).
    """

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._levels = [_Level() for _ in range(LEVELS)]
        self._lanes: dict[Hashable, list[_Line | None]] = {}
        self._sizes: dict[Hashable, int] = {}
        self._deadlines = Deadlines()
        self._numbers = 0
        self._turns = 0

    def __len__(self) -> int:
        return self._deadlines.count

    def __iter__(self) -> Iterator[Waiter]:
        """Everyone, in no particular order."""
        for level in self._levels:
            for mine in level.keys.values():
                yield from mine

    def has_lane(self, lane: Hashable) -> bool:
        """Whether anybody waits for the same workers."""
        return lane in self._lanes

    def put(self, waiter: Waiter) -> None:
        """Somebody begins to wait."""
        self._numbers += 1
        waiter.number, waiter.waiting = self._numbers, True
        at = _level(waiter.request.criticality)
        lines = self._lanes.setdefault(waiter.lane, [None] * LEVELS)
        line = lines[at]
        if line is None:
            line = lines[at] = _Line(self._accounts)
        self._accounts.on_waiting(waiter.key)
        line.put(waiter)
        self._levels[at].put(waiter)
        self._sizes[waiter.lane] = self._sizes.get(waiter.lane, 0) + 1
        self._deadlines.add(waiter)

    def drop(self, waiter: Waiter) -> None:
        """Somebody waits no longer. Saying so twice changes nothing."""
        if not waiter.waiting:
            return
        waiter.waiting = False
        at = _level(waiter.request.criticality)
        line = self._lanes[waiter.lane][at]
        assert line is not None, "it was put there"
        line.drop(waiter)
        self._levels[at].drop(waiter)
        self._deadlines.on_left()
        self._accounts.on_left(waiter.key)
        self._sizes[waiter.lane] -= 1
        if not self._sizes[waiter.lane]:
            del self._sizes[waiter.lane], self._lanes[waiter.lane]

    def on_turn(self) -> None:
        """Somebody's turn has come."""
        self._turns += 1

    def next(self, without: Collection[Hashable] = ()) -> Waiter | None:
        """Whose turn it is, of those who are not in these lanes; None where nobody is left."""
        lanes = [lines for lane, lines in self._lanes.items() if lane not in without]
        for at in self._order():
            heads = [head for lines in lanes if (line := lines[at]) and (head := line.first())]
            if heads:
                return min(heads, key=self._rank) if len(heads) > 1 else heads[0]
        return None

    def lane(self, lane: Hashable) -> list[Waiter]:
        """Everyone in a lane, in the order they came. O(n): for when they are all answered."""
        return sorted((waiter for waiter in self if waiter.lane == lane), key=lambda waiter: waiter.number)

    def first_due(self) -> Waiter | None:
        """The one whose time is up first."""
        return self._deadlines.first()

    def ahead(self, key: str, criticality: int) -> int:
        """How many are served, about, before another one of that key is: keys take turns."""
        at = _level(criticality)
        level = self._levels[at]
        mine = len(level.keys.get(key, ()))
        above = sum(other.count for other in self._levels[at + 1 :])
        return above + min(level.count, (mine + 1) * len(level.keys))

    def gives_way(self, key: str, weight: float, criticality: int) -> Waiter | None:
        """Who goes when there is no more room and one of that key comes; None where it is whoever comes.

        The newest of the lowest criticality: of the key that has most waiting there for its weight, so that nobody's
        flood keeps others out.
        """
        at = next((at for at, level in enumerate(self._levels) if level.count), LEVELS)
        arriving = _level(criticality)
        if at > arriving or at == LEVELS:
            return None
        level = self._levels[at]
        longest = level.longest.least()
        assert longest is not None, "somebody waits there"
        others = level.keys[longest]
        newest = next(reversed(others))
        if at == arriving:
            mine = (len(level.keys.get(key, ())) + 1) / sane(weight)
            if longest == key or len(others) / sane(newest.request.ask.key_weight) <= mine:
                return None
        return newest

    def on_refund(self, key: str) -> None:
        """A key's counter has fallen."""
        for lines in self._lanes.values():
            for line in lines:
                if line is not None:
                    line.order.lowered(key)

    def _order(self) -> list[int]:
        """Criticalities in the order in which they are asked now."""
        highest = list(range(LEVELS - 1, -1, -1))
        rounds, turn = divmod(self._turns, TURNS)
        if turn == TURNS - 1:
            favoured = rounds % LEVELS
            highest.remove(favoured)
            highest.insert(0, favoured)
        return highest

    def _rank(self, waiter: Waiter) -> tuple[float, float, int]:
        return self._accounts.counter(waiter.key), waiter.until, waiter.number


def _level(criticality: int) -> int:
    """Where a criticality stands; one of a newer peer counts as the highest."""
    return min(max(criticality, 1), LEVELS) - 1
