"""All limits of one key in this gateway."""

import asyncio
from collections.abc import Iterator

from services.gateway.identity.grant import Limits
from services.gateway.quota.allowance import Allowance, Lease, Wish
from services.gateway.quota.reservation import Need
from services.gateway.quota.waiting import Part, Parts, Waiter
from services.gateway.quota.window import Measure, period_of

# A key that nobody has used for so long gives back what it has not spent.
_IDLE_SECONDS = 2.0


class Account:
    """The allowances of a key. Nothing in here waits."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        self.waiting: list[Waiter] = []
        self.lock = asyncio.Lock()  # held by whoever asks the database, or tells it
        self.renewing: asyncio.Task[None] | None = None
        self.used_at = 0.0
        self.rests_until = 0.0  # nothing has to be done for it before that, unless somebody uses it
        self._current: dict[Measure, Allowance] = {}
        self._ended: list[Allowance] = []  # budgets of periods that are over, until they are settled

    def parts(self, limits: Limits, need: Need, at: float) -> Parts:
        """What a request takes of each limit, in the periods of that time.

        One that may take more tokens than the whole limit takes all of it: it waits for a minute that nobody has used.
        """
        parts: list[Part] = []
        if limits.usd_per_month is not None:
            parts.append((self._allowance("usd_month", limits.usd_per_month, at), need.cost_nano_usd))
        if limits.usd_per_day is not None:
            parts.append((self._allowance("usd_day", limits.usd_per_day, at), need.cost_nano_usd))
        if limits.requests_per_minute is not None:
            parts.append((self._allowance("requests", limits.requests_per_minute, at), 1))
        if limits.tokens_per_minute is not None:
            allowance = self._allowance("tokens", limits.tokens_per_minute, at)
            parts.append((allowance, max(1, min(need.tokens, allowance.limit))))
        if limits.concurrency is not None:
            parts.append((self._allowance("concurrency", limits.concurrency, at), 1))
        return tuple(parts)

    def all(self) -> Iterator[Allowance]:
        """Every limit that is not done with."""
        yield from self._current.values()
        yield from self._ended

    def nearly_spent(self, measure: Measure, now: float) -> bool:
        """Whether nine tenths of a limit are used, or more, by all gateways as far as is known here."""
        known = self._current.get(measure)
        return known is not None and known.period.end > now and known.nearly_spent

    def wishes(self) -> list[Wish]:
        """What to ask for: all that those who wait need, of the limits that they need."""
        needs: dict[int, list[int]] = {}
        allowances: dict[int, Allowance] = {}
        for waiter in self.waiting:
            for allowance, amount in waiter.parts:
                needs.setdefault(id(allowance), []).append(amount)
                allowances[id(allowance)] = allowance
        for allowance in self._current.values():
            if allowance.low:
                allowances[id(allowance)] = allowance
        return [each.wish(min(needs.get(key, (0,))), sum(needs.get(key, ()))) for key, each in allowances.items()]

    def take(self, leases: dict[tuple[Measure, int], Lease]) -> None:
        """The database has answered for these limits and periods."""
        for allowance in self._known():
            lease = leases.get((allowance.measure, allowance.period.start))
            if lease is not None:
                allowance.take(lease)

    def gone(self) -> None:
        """There is no such key any more: it has nothing."""
        for allowance in self._known():
            allowance.take(Lease(most=0, others=0, amount=max(allowance.granted, allowance.used)))

    def go_alone(self, gateways: int) -> None:
        """Nobody can be asked."""
        for allowance in self._known():
            allowance.go_alone(gateways)

    def rejoin(self) -> None:
        """The database can be asked again."""
        for allowance in self._known():
            allowance.alone = 0

    def lose_slots(self) -> None:
        """This gateway has not been seen for so long that others no longer count its slots."""
        if "concurrency" in self._current:
            self._current["concurrency"].granted = 0

    def unheard(self) -> None:
        """The database was told something, and nobody heard whether it took it."""
        for allowance in self._known():
            allowance.stated = -1

    def returned(self, now: float, *, everything: bool = False) -> list[Wish]:
        """What to give back, and what is used beyond what is granted: all that is idle, or more than is soon needed.

        Args:
            now: seconds since 1970.
            everything: nothing more will be reserved.
        """
        wishes = []
        idle = everything or now - self.used_at > _IDLE_SECONDS
        for allowance in self._current.values():
            if allowance.period.end <= now and not allowance.money:
                continue  # nobody can use it any more
            keep = 0 if idle else allowance.spare
            surplus = allowance.granted - allowance.used
            if surplus < 0 or surplus > 2 * keep or allowance.stated != allowance.granted:
                wishes.append(allowance.returned(keep))
        wishes += [allowance.returned(0) for allowance in self._ended if allowance.stated != allowance.used]
        return wishes

    def forget_ended(self) -> None:
        """Let go of budgets of the past of which all is settled."""
        self._ended = [allowance for allowance in self._ended if not allowance.settled]

    def rest(self, now: float) -> None:
        """Let it rest where nothing is under way and all is given back, until the first of its periods ends."""
        self.rests_until = min(self._spent_until(now), default=now) if self._quiet(now) else now

    def forgettable(self, now: float) -> bool:
        """Whether nothing of it matters any more. What of a budget is spent does, until its period ends."""
        return self._quiet(now) and not self._spent_until(now)

    def _quiet(self, now: float) -> bool:
        if self.waiting or self._ended or self.renewing is not None or self.lock.locked():
            return False
        return all(
            allowance.settled or not (allowance.money or allowance.reserved or allowance.period.end > now)
            for allowance in self._current.values()
        )

    def _spent_until(self, now: float) -> list[float]:
        """When the periods end in which something is spent."""
        current = self._current.values()
        return [allowance.period.end for allowance in current if allowance.spent and allowance.period.end > now]

    def _known(self) -> Iterator[Allowance]:
        known = {id(allowance): allowance for allowance in self.all()}
        for waiter in self.waiting:
            known |= {id(allowance): allowance for allowance, _ in waiter.parts}
        return iter(known.values())

    def _allowance(self, measure: Measure, limit: int, at: float) -> Allowance:
        known = self._current.get(measure)
        if known is None or at >= known.period.end:
            if known is not None and known.money:
                self._ended.append(known)
            known = self._current[measure] = Allowance(measure, period_of(measure, at), limit)
        known.tell(limit)
        return known
