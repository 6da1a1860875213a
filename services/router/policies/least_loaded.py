"""Whoever has least to do."""

import random
from collections.abc import Sequence

from hybridinference.router.v1 import placement_pb2 as placement

from services.router.policies.strategy import Candidate, longest_unused


class LeastLoaded:
    """The worker that would be least loaded with this request on it, as a share of its capacity where that is known.

    Among equals the one that was used longest ago, so that equal workers share evenly even when all are idle.
    """

    name = "least_loaded"

    def choose(self, ask: placement.PlacementAsk, candidates: Sequence[Candidate], rng: random.Random) -> Candidate:
        """The candidate with the least load."""
        # A worker without a known limit, a vendor's API say, counts as large as the largest that has one.
        largest = max(candidate.capacity for candidate in candidates) or 1
        loads = [(candidate.load + 1) / (candidate.capacity or largest) for candidate in candidates]
        least = min(loads)
        idlest = [candidate for candidate, load in zip(candidates, loads, strict=True) if load == least]
        return idlest[0] if len(idlest) == 1 else longest_unused(idlest, rng)
