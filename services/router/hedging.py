"""Hedges: a second attempt beside one that is slow to begin."""

from collections.abc import Collection, Iterator

from services.config.flags import Flag, applies
from services.config.router import Hedge
from services.router.leases import Generation, Lease
from services.router.request import Request
from services.router.target import Target


def slow_after(settings: Hedge, expected: float | None, *, error_p95: float = 0.0) -> float | None:
    """Seconds without content after which an attempt is slow; None where nothing is known of what to expect.

    Args:
        settings: the router's.
        expected: time to the first content, in seconds.
        error_p95: how much longer than expected all but one in twenty take at most.
    """
    if expected is None:
        return None
    return max(settings.factor * expected, settings.least_seconds, expected + error_p95)


def allowed(flag: Flag, generation: Generation, *, most_attempts: int) -> bool:
    """Whether one more attempt may run beside the one that there is: one hedge a request, and few attempts in all."""
    if generation.request is None or generation.hedged or generation.attempts >= most_attempts:
        return False
    request = generation.request
    return applies(flag, "hedging", generation_id=generation.id, model=request.pool.model, key_id=request.ask.key_id)


def others(slow: Lease, request: Request, tried: Collection[str], settings: Hedge, now: float) -> Iterator[Target]:
    """Where a hedge may go: a worker that was not tried, has room and gets on, and costs nothing unless it may.

    Both attempts together must not cost more than is left of what the request may cost.
    """
    ready, _ = request.pool.eligible(request, tried, now=now, later=now, again=False)
    for target in ready:
        if (
            target.has_room
            and (settings.paid or target.free)
            and slow.most_cost + target.most_cost(request) <= request.max_cost
            and target.worker.hesitant(now)[0] != "stalled"
        ):
            yield target
