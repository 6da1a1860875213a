"""What becomes of a stream of requests before it is played: which of them come, when, and for whom."""

import bisect
import itertools
import math
from collections.abc import Iterable, Sequence

from services.router.simulator.noise import Topic, mix, uniform
from services.router.simulator.sections import Tenant, Traffic
from services.router.simulator.traffic.request import Request

_CRITICALITY = {"unspecified": 0, "sheddable": 1, "sheddable_plus": 2, "critical": 3, "critical_plus": 4}


def arrive(requests: Iterable[Request], traffic: Traffic, tenants: Sequence[Tenant], seed: int) -> list[Request]:
    """The requests as one seed has them, in order of time.

    The window is taken in the source's own time, a share of requests is left out, each is moved later by chance, and
    then time is divided by the rate. Who is left out and by how much the others are moved depends on seed and request
    alone: equal at every rate and for every policy.
    """
    begin, end = traffic.window_seconds or (0.0, math.inf)
    limit = traffic.requests or None
    kept = (
        request._replace(at=(request.at - begin + _jitter(request, traffic, seed)) / traffic.rate)
        for request in requests
        if begin <= request.at < end
        and (not traffic.thin or uniform(seed, Topic.THINNING, request.identity) >= traffic.thin)
    )
    arrived = sorted(itertools.islice(kept, limit), key=lambda request: (request.at, request.identity))
    return _assigned(arrived, tenants, seed) if tenants else arrived


def _jitter(request: Request, traffic: Traffic, seed: int) -> float:
    if not traffic.jitter_seconds:
        return 0.0
    return traffic.jitter_seconds * uniform(seed, Topic.JITTER, request.identity)


def _assigned(requests: Sequence[Request], tenants: Sequence[Tenant], seed: int) -> list[Request]:
    """Whom each request is served for, by chance and the tenants' shares; a conversation belongs to one of them."""
    steps = list(itertools.accumulate(tenant.share for tenant in tenants))
    assigned = []
    for request in requests:
        of = mix(1, request.conversation) if request.conversation else mix(2, request.identity)
        tenant = tenants[bisect.bisect(steps, uniform(seed, Topic.TENANT, of) * steps[-1])]
        assigned.append(
            request._replace(
                key=tenant.key,
                key_weight=tenant.weight,
                criticality=_CRITICALITY[tenant.criticality],
                first_seconds=tenant.first_seconds,
                token_seconds=tenant.token_seconds,
                max_cost_nano_usd=None if tenant.max_cost_usd is None else round(tenant.max_cost_usd * 1e9),
            )
        )
    return assigned
