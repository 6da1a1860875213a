"""Budgets: retries and hedges as shares of requests, so that neither an outage nor slowness is amplified."""

from services.config.router import Hedge, Retry

_WINDOW_SECONDS = 10
# Retries count for one second more: the last bucket is not full yet, and ten whole seconds must hold no more.
_RETRIES_SECONDS = _WINDOW_SECONDS + 1
# Hedges that a quiet time may save up. A budget without a bound would pay a whole outage back in one burst.
_MOST_SAVED = 10.0


class RetryBudget:
    """Counts requests and retries of the last ten seconds, about, in buckets of one second.

    Allowed is the larger of two numbers: the share of requests, and what is always allowed each second. Their sum would
    let a total outage cost more than the share says.
    """

    __slots__ = ("_at", "_requests", "_retries", "_settings", "_sum_requests", "_sum_retries")

    def __init__(self, settings: Retry) -> None:
        self._settings = settings
        self._requests = [0] * _WINDOW_SECONDS
        self._retries = [0] * _RETRIES_SECONDS
        self._sum_requests = 0
        self._sum_retries = 0
        self._at = 0

    def under(self, settings: Retry) -> "RetryBudget":
        """A budget by other settings, with what has been counted so far."""
        budget = RetryBudget(settings)
        budget._requests, budget._retries = list(self._requests), list(self._retries)
        budget._sum_requests, budget._sum_retries, budget._at = self._sum_requests, self._sum_retries, self._at
        return budget

    def on_request(self, now: float) -> None:
        """A first attempt is asked for."""
        self._advance(now)
        self._requests[self._at % _WINDOW_SECONDS] += 1
        self._sum_requests += 1

    def take(self, now: float) -> bool:
        """Take one retry, if there is one left."""
        self._advance(now)
        always = self._settings.budget_per_second * _WINDOW_SECONDS
        allowed = max(self._settings.budget_ratio * self._sum_requests, always)
        if self._sum_retries + 1 > allowed:
            return False
        self._retries[self._at % _RETRIES_SECONDS] += 1
        self._sum_retries += 1
        return True

    def _advance(self, now: float) -> None:
        second = int(now)
        for passed in range(self._at + 1, min(second, self._at + _RETRIES_SECONDS) + 1):
            index = passed % _WINDOW_SECONDS
            self._sum_requests -= self._requests[index]
            self._requests[index] = 0
            index = passed % _RETRIES_SECONDS
            self._sum_retries -= self._retries[index]
            self._retries[index] = 0
        self._at = max(self._at, second)


class HedgeBudget:
    """Hedges as a share of requests, with no minimum: whoever asks little never hedges more than the share says.

    A bucket that each request adds the share to, as Finagle's backup requests do with `minRetriesPerSec` 0.
    """

    __slots__ = ("_ratio", "_saved")

    def __init__(self, settings: Hedge) -> None:
        self._ratio = settings.budget_ratio
        self._saved = 0.0

    def under(self, settings: Hedge) -> "HedgeBudget":
        """The same budget with what is saved, under other settings."""
        other = HedgeBudget(settings)
        other._saved = self._saved
        return other

    def on_request(self) -> None:
        """A first attempt is asked for."""
        self._saved = min(_MOST_SAVED, self._saved + self._ratio)

    def take(self) -> bool:
        """Take one hedge, if there is one left."""
        # A share like 0.02, added up fifty times, is a little less than 1.
        if self._saved < 1.0 - 1e-9:
            return False
        self._saved = max(0.0, self._saved - 1.0)
        return True
