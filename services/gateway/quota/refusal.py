"""How a request is refused that its key has no room for. Pure."""

from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.gateway.quota.allowance import Allowance
from services.gateway.quota.reservation import Meter
from services.gateway.quota.window import Measure, moment

# A slot, or money that is only set aside, comes back when some request ends: that may be at once.
_SOON_SECONDS = 1.0
# The database is tried again each second.
_AWAY_SECONDS = 2.0
_NANO_USD = 10**9
_PERIODS: dict[Measure, str] = {"usd_day": "day", "usd_month": "month"}


class Limited(Failure):
    """A refusal by a limit, with where the limits of a minute stand.

    Attributes:
        requests: the limit of requests; None where the key has none.
        tokens: that of tokens.
    """

    def __init__(self, why: Failure, requests: Meter | None, tokens: Meter | None) -> None:
        super().__init__(why.reason, why.message, retry_after=why.retry_after, metadata=why.metadata)
        self.requests = requests
        self.tokens = tokens


def refusal(allowance: Allowance, amount: int, now: float) -> Failure:
    """Why so much cannot be reserved of a limit. `now` in seconds since 1970."""
    if allowance.money:
        return _of_budget(allowance, amount)
    limit = allowance.limit
    if allowance.measure == "concurrency":
        return Failure(
            reasons.ERROR_REASON_RATE_LIMITED,
            f"This key may have {limit} requests under way at once, and has; wait until one has ended.",
            retry_after=_SOON_SECONDS,
            limit="concurrency",
        )
    begins = moment(allowance.period.end)
    what = f"takes up to {amount} tokens, and " if allowance.measure == "tokens" else ""
    return Failure(
        reasons.ERROR_REASON_RATE_LIMITED,
        f"This request {what}is over the key's limit of {limit} {allowance.measure} a minute; "
        f"the next minute begins at {begins:%H:%M:%S} UTC.",
        retry_after=max(0.0, allowance.period.end - now),
        limit=allowance.measure,
    )


def away() -> Failure:
    """More would have to be leased of a budget, and the database does not answer."""
    return Failure(
        reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE,
        "This key has a budget, and what is left of it cannot be asked now; come back in a moment.",
        retry_after=_AWAY_SECONDS,
    )


def _of_budget(allowance: Allowance, amount: int) -> Failure:
    period = _PERIODS[allowance.measure]
    budget = f"budget of {usd(allowance.limit)} USD a {period}"
    if allowance.left + allowance.reserved >= amount:
        return Failure(
            reasons.ERROR_REASON_RATE_LIMITED,
            f"What is left of the key's {budget} is set aside for requests under way; wait until one has ended.",
            retry_after=_SOON_SECONDS,
            limit=allowance.measure,
        )
    begins = moment(allowance.period.end)
    return Failure(
        reasons.ERROR_REASON_QUOTA_EXHAUSTED,
        f"This request may cost up to {usd(amount)} USD, and of the key's {budget} less is left; a new one begins at "
        f"{begins:%Y-%m-%dT%H:%M:%SZ}. A smaller limit of output tokens makes a request cheaper.",
        budget=period,
    )


def usd(nano_usd: int) -> str:
    """An amount of nano-USD in USD, exactly: 1500000000 is `1.50`."""
    whole, rest = divmod(nano_usd, _NANO_USD)
    digits = f"{rest:09d}".rstrip("0")
    return f"{whole}.{digits:0<2}"
