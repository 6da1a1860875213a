"""Who is told at once to come back later: whoever could not begin in time anyway."""

from hybridinference.inference.v1 import routing_pb2 as routing

from services.router.admission.admission import NEVER
from services.router.request import Request

# How many times the longest time to the first content that is any good may be expected before an ask is refused: the
# more critical, the more hope it is given.
PATIENCE: dict[int, float] = {
    routing.CRITICALITY_CRITICAL_PLUS: 4.0,
    routing.CRITICALITY_CRITICAL: 2.0,
    routing.CRITICALITY_SHEDDABLE_PLUS: 1.0,
    routing.CRITICALITY_SHEDDABLE: 0.5,
}
_MOST_PATIENCE = max(PATIENCE.values())  # also of a criticality of a newer peer
# When to come back, at the earliest and at the latest; and where nothing is known.
_RETRY_LEAST, _RETRY_MOST, _RETRY_UNKNOWN = 0.5, 60.0, 1.0


def bound(request: Request, *, ends_at: float | None, since: float) -> float:
    """When the first content has to be there at the latest to be any good; infinity where it is always.

    Args:
        request: what was asked.
        ends_at: its deadline; None is never.
        since: when it was asked.
    """
    until = NEVER if ends_at is None else ends_at
    slo = request.first_content_slo
    if slo is not None:
        until = min(until, since + PATIENCE.get(request.criticality, _MOST_PATIENCE) * slo)
    return until


def retry_after(excess: float | None) -> float:
    """Seconds after which to come back, where `excess` is how much too long it would take now; None is not known."""
    return _RETRY_UNKNOWN if excess is None else min(max(excess, _RETRY_LEAST), _RETRY_MOST)
