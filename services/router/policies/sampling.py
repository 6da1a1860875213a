"""Which of many targets are worth a look, so that a decision takes no longer however many there are."""

import heapq
import random
from collections.abc import Sequence

from services.router.rendezvous import distance
from services.router.request import Request
from services.router.target import Target

# More targets than these are not all looked at.
MOST_TARGETS = 32
# So many each: those with most of the prompt, some by chance, vendors.
_EACH = 4
# Workers that a session prefers: with two, the less loaded one can be taken (DualMap, arXiv 2602.06502).
_CANDIDATES = 2


def of_session(request: Request) -> Sequence[int]:
    """Positions where earlier turns of the request's session may be, in case nothing is known of its prompt.

    The same in every router, and the same as long as nobody comes or goes.
    """
    key = request.ask.affinity
    if not key or request.hits:
        return ()
    nearest = heapq.nsmallest(_CANDIDATES, request.pool.targets, key=lambda target: distance(key, target.identity))
    return [target.position for target in nearest]


def sample(request: Request, targets: Sequence[Target], session: Sequence[int], rng: random.Random) -> Sequence[Target]:
    """Who has most of the prompt, who may have served the session, vendors, and some by chance, in their order."""
    eligible = {target.position: target for target in targets}
    holders = [position for position in request.hits if position in eligible]
    if len(holders) > _EACH:
        holders = heapq.nlargest(_EACH, holders, key=request.hits.__getitem__)
    drawn = [target.position for target in rng.sample(targets, _EACH)]
    # Vendors are few and unlike all else: chance must not leave them out.
    vendors = [target.position for target in targets if target.worker.elastic][:_EACH]
    return [eligible[position] for position in sorted({*holders, *session, *drawn, *vendors} & eligible.keys())]
