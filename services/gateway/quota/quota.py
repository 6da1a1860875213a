"""Reserves what requests may take of their keys' limits."""

from services.gateway.identity.grant import Grant, Limits
from services.gateway.quota.reservation import UNLIMITED, Need, Reservation

_NONE = Limits()


class Quota:
    """The limits of all keys, as this gateway has leased them."""

    async def reserve(self, grant: Grant, need: Need) -> Reservation:
        """Set aside what a request may take.

        Raises:
            Failure: RATE_LIMITED, with when to come back; QUOTA_EXHAUSTED, where a budget is used up and trying
                again is in vain; ACCOUNTING_UNAVAILABLE, where more would have to be leased and the database is away.
        """
        assert grant.limits == _NONE
        return UNLIMITED
