"""Everyone in turn."""

import random
from collections.abc import Sequence

from services.router.policies.strategy import Score, Strategy, longest_unused
from services.router.request import Request
from services.router.target import Target


class RoundRobin(Strategy):
    """The worker that was used longest ago.

    Unlike a cursor it stays even while workers come and go, and a worker that returns gets one request, not a burst.
    """

    name = "round_robin"

    def choose(self, request: Request, targets: Sequence[Target], now: float, rng: random.Random) -> Target:
        """The target that was used longest ago."""
        return longest_unused(targets, rng)

    def score(self, request: Request, target: Target, now: float) -> Score:
        """Its last turn."""
        return Score(target.turn, {"last_turn": target.turn})
