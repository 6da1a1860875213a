"""Which of many targets are looked at, so that a decision takes no longer however many there are."""

import heapq
import random
from collections.abc import Sequence

from services.router.rendezvous import nearest
from services.router.request import Request
from services.router.target import Target

_MOST_TARGETS = 32
_SAMPLE = 4


def of_session(request: Request) -> Sequence[int]:
    """Positions where earlier turns of the request's session may be, in case nothing is known of its prompt.

    The same in every router, and the same as long as nobody comes or goes.
    """
    key = request.ask.affinity
    if not key or request.hits:
        return ()
    # With two, the less loaded one can be taken (DualMap, arXiv 2602.06502).
    return nearest(key, [target.identity for target in request.pool.targets])


def worth_a_look(
    request: Request, targets: Sequence[Target], session: Sequence[int], rng: random.Random
) -> Sequence[Target]:
    """All targets where they are few; else who has most of the prompt, who may have served the session, and some more.

    Args:
        request: what is to be placed.
        targets: who may take it.
        session: positions of those that may have served the request's session.
        rng: draws the others.
    """
    if len(targets) <= _MOST_TARGETS:
        return targets
    by_position = {target.position: target for target in targets}
    holders = heapq.nlargest(_SAMPLE, request.hits, key=request.hits.__getitem__)
    drawn = [target.position for target in rng.sample(targets, _SAMPLE)]
    # Vendors are few and unlike all else, so that chance must not leave them out.
    elastic = [target.position for target in targets if target.worker.elastic][:_SAMPLE]
    positions = sorted({*holders, *session, *drawn, *elastic})
    return [by_position[position] for position in positions if position in by_position]
