"""Everyone in turn."""

import random
from collections.abc import Sequence

from hybridinference.router.v1 import placement_pb2 as placement

from services.router.policies.strategy import Candidate, longest_unused


class RoundRobin:
    """The worker that was used longest ago.

    Unlike a cursor it stays even while workers come and go, and a worker that returns gets one request, not a burst.
    """

    name = "round_robin"

    def choose(self, ask: placement.PlacementAsk, candidates: Sequence[Candidate], rng: random.Random) -> Candidate:
        """The candidate that was used longest ago."""
        return longest_unused(candidates, rng)
