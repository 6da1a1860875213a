"""What a request takes of each limit, and how it waits for that."""

import asyncio
import dataclasses

from services.gateway.quota.allowance import Allowance

# A limit, and what a request takes of it.
Part = tuple[Allowance, int]
Parts = tuple[Part, ...]


def reserve(parts: Parts) -> bool:
    """Set aside what a request takes of each limit; all of it or nothing. Whether it was done."""
    for allowance, amount in parts:
        if not allowance.fits(amount):
            return False
    for allowance, amount in parts:
        allowance.reserve(amount)
    return True


@dataclasses.dataclass(slots=True, eq=False)
class Waiter:
    """A request that waits for a lease. `answer` is True once its parts are reserved."""

    parts: Parts
    answer: asyncio.Future[bool]

    def leave(self) -> None:
        """Who waited has gone, or was refused. What was reserved for it just now is given back."""
        answer = self.answer
        if not answer.done():
            answer.cancel()
        elif not answer.cancelled() and answer.exception() is None:
            for allowance, amount in self.parts:
                allowance.settle(amount, 0)
