"""Retries: whether another attempt follows a failed one, and when."""

import enum
import random
from collections.abc import Sequence

from services.config.router import Retry
from services.router.faults import Verdict
from services.router.target import Target


class Stop(enum.Enum):
    """Why no attempt follows."""

    NOT_RETRYABLE = "not_retryable"
    COMMITTED = "committed"
    UNKNOWN_REQUEST = "unknown_request"  # it began before this router did, or its model is no more
    ATTEMPTS = "attempts"
    NO_WORKER = "no_worker"
    DEADLINE = "deadline"
    BUDGET = "budget"


def hopeless(verdict: Verdict, *, committed: bool, attempts: int, settings: Retry) -> Stop | None:
    """Why there is no use in looking for another worker; None where there is."""
    if not verdict.retryable:
        return Stop.NOT_RETRYABLE
    if committed:
        return Stop.COMMITTED
    return Stop.ATTEMPTS if attempts >= settings.max_attempts else None


def backoff(attempts: int, settings: Retry, rng: random.Random) -> float:
    """Seconds before the attempt that follows this many: doubling, with jitter, never above the limit."""
    seconds = settings.backoff_ms / 1e3 * 2.0 ** min(attempts - 1, 30)
    return min(seconds * rng.uniform(0.8, 1.2), settings.backoff_max_ms / 1e3)


def delay(targets: Sequence[Target], *, at: float, now: float, pause: float) -> float:
    """Seconds before the next attempt starts on one of the targets, who are ready `at` that time.

    Workers that have not been tried, one of them with room, give no cause to wait; the budget keeps a storm away.
    """
    return 0.0 if at <= now and any(target.has_room for target in targets) else pause


def too_late(wait: float, *, now: float, ends_at: float | None) -> bool:
    """Whether the deadline passes before the attempt would start."""
    return ends_at is not None and now + wait >= ends_at
