"""A table of leases that is not PostgreSQL: what it decides, in other words, and what may go wrong on the way."""

import asyncio
import dataclasses
import random
from collections.abc import Sequence

from services.gateway.database import DatabaseAway
from services.gateway.identity.grant import Limits
from services.gateway.quota.allowance import Lease, Wish
from services.gateway.quota.window import Measure

Key = tuple[str, Measure, int]

_COLUMNS: dict[Measure, str] = {
    "requests": "requests_per_minute",
    "tokens": "tokens_per_minute",
    "concurrency": "concurrency",
    "usd_day": "usd_per_day",
    "usd_month": "usd_per_month",
}


def decide(most: int, others: int, wish: Wish) -> int:
    """What lease_quota in the migrations decides."""
    room = most - others
    if wish.enough > room:
        return wish.held
    beyond = room - wish.goal
    return max(wish.held, min(wish.goal + min(wish.spare, max(0, beyond // 20)), room))


class Table:
    """The limits of keys, and what gateways have of them."""

    def __init__(self, **limits: Limits) -> None:
        """Limits by the keys' ids."""
        self.limits = limits
        self.leases: dict[Key, dict[object, tuple[int, int]]] = {}

    def gateway(self, chance: random.Random | None = None) -> "Gateway":
        """The table as one gateway sees it; with `chance` connections are lost, before and after the table changes."""
        return Gateway(self, chance)

    def amounts(self, key_id: str, measure: Measure) -> int:
        """What all gateways have of a limit, over all its periods."""
        return sum(
            amount
            for (key, what, _), leases in self.leases.items()
            if (key, what) == (key_id, measure)
            for _, amount in leases.values()
        )

    def write(self, who: object, step: int, key_id: str, wishes: Sequence[Wish]) -> dict[tuple[Measure, int], Lease]:
        """One transaction."""
        answers = {}
        if key_id not in self.limits:
            return {}
        for wish in wishes:
            limit = getattr(self.limits[key_id], _COLUMNS[wish.measure])
            most = wish.limit if limit is None else min(limit, wish.limit)
            start = int(wish.start.timestamp())
            leases = self.leases.setdefault((key_id, wish.measure, start), {})
            others = sum(amount for owner, (_, amount) in leases.items() if owner is not who)
            amount = decide(most, others, wish)
            if leases.get(who, (0, 0))[0] < step:
                leases[who] = (step, amount)
            answers[wish.measure, start] = Lease(most, others, amount)
        return answers


@dataclasses.dataclass(eq=False)
class Gateway:
    """Implements services.gateway.quota.lender.Lender."""

    table: Table
    chance: random.Random | None = None
    away: bool = False
    asked: int = 0
    answers: asyncio.Event | None = None  # where it is set, no answer comes before

    async def lease(self, key_id: str, wishes: Sequence[Wish]) -> dict[tuple[Measure, int], Lease]:
        """Lease, or lose the connection on the way there or back."""
        self.asked += 1
        step = self.asked
        if self.away or self._lost():
            await asyncio.sleep(0)
            raise DatabaseAway("on the way there")
        if self.chance is not None:
            for _ in range(self.chance.randrange(4)):
                await asyncio.sleep(0)
        if self.chance is not None and self._lost():
            # The table changes only later, when the gateway may have asked again.
            loop = asyncio.get_running_loop()
            loop.call_later(self.chance.random() / 1e3, self.table.write, self, step, key_id, wishes)
            raise DatabaseAway("in the middle")
        answer = self.table.write(self, step, key_id, wishes)
        if self.answers is not None:
            await self.answers.wait()
        else:
            await asyncio.sleep(0)
        if self._lost():
            raise DatabaseAway("on the way back")
        return answer

    def _lost(self) -> bool:
        return self.chance is not None and self.chance.random() < 0.1
