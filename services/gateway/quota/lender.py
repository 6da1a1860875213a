"""Where leases come from."""

from collections.abc import Sequence
from typing import Protocol

from services.gateway.quota.allowance import Lease, Wish
from services.gateway.quota.window import Measure


class Lender(Protocol):
    """Leases parts of limits."""

    async def lease(self, key_id: str, wishes: Sequence[Wish]) -> dict[tuple[Measure, int], Lease]:
        """Have so much of these limits; empty where there is no such key.

        Raises:
            DatabaseAway: it does not answer, or refused. What was asked may have been done.
        """
