"""What is set aside for a request of a key with limits."""

import time
from collections.abc import Awaitable, Callable

from services.gateway.quota.allowance import Allowance
from services.gateway.quota.reservation import Meter
from services.gateway.quota.waiting import Part, Parts

# Sets aside more of the same limits, or raises Failure.
Extend = Callable[[Parts], Awaitable[None]]


class Held:
    """Implements services.gateway.quota.reservation.Reservation."""

    __slots__ = ("_extend", "_parts", "_settled")

    def __init__(self, parts: Parts, extend: Extend) -> None:
        """`parts` are reserved."""
        self._parts: list[Part] = list(parts)
        self._extend = extend
        self._settled = False
        for allowance, _ in self._parts:
            allowance.holders += 1

    @property
    def requests(self) -> Meter | None:
        """Where the limit of requests stands; None where there is none."""
        return meter(self._parts, "requests")

    @property
    def tokens(self) -> Meter | None:
        """Where the limit of tokens stands; None where there is none."""
        return meter(self._parts, "tokens")

    @property
    def priced(self) -> bool:
        """Whether the key has a budget."""
        return any(allowance.money for allowance, _ in self._parts)

    def shrink(self, cost_nano_usd: int) -> None:
        """From here on it may cost so much at most. Never more than before."""
        if self._settled:
            return
        for index, (allowance, amount) in enumerate(self._parts):
            if allowance.money and cost_nano_usd < amount:
                allowance.shrink(amount - cost_nano_usd)
                self._parts[index] = (allowance, cost_nano_usd)

    async def cover(self, cost_nano_usd: int) -> None:
        """It may come to cost so much: set aside what is missing."""
        missing = tuple(
            (allowance, cost_nano_usd - amount)
            for allowance, amount in self._parts
            if allowance.money and cost_nano_usd > amount
        )
        if not missing or self._settled:
            return
        await self._extend(missing)
        if self._settled:  # meanwhile: nothing runs that could cost anything
            for allowance, amount in missing:
                allowance.settle(amount, 0)
            return
        more = {id(allowance): amount for allowance, amount in missing}
        self._parts = [(allowance, amount + more.get(id(allowance), 0)) for allowance, amount in self._parts]

    def settle(self, tokens: int, cost_nano_usd: int) -> None:
        """This is what it took. The rest is given back."""
        self._end({"requests": 1, "tokens": tokens, "usd_day": cost_nano_usd, "usd_month": cost_nano_usd})

    def cancel(self) -> None:
        """It took nothing."""
        self._end({})

    def _end(self, took: dict[str, int]) -> None:
        if self._settled:
            return
        self._settled = True
        for allowance, amount in self._parts:
            allowance.holders -= 1
            allowance.settle(amount, took.get(allowance.measure, 0))


def meter(parts: Parts | list[Part], measure: str) -> Meter | None:
    """Where a limit of a minute stands now."""
    for allowance, _ in parts:
        if allowance.measure == measure:
            return _meter(allowance)
    return None


def _meter(allowance: Allowance) -> Meter:
    return Meter(
        limit=allowance.limit,
        remaining=max(0, allowance.left),
        reset_seconds=max(0.0, allowance.period.end - time.time()),
    )
