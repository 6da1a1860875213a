"""Power of two choices."""

import random
from collections.abc import Sequence

from services.router.policies.strategy import Score, Strategy
from services.router.request import Request
from services.router.target import Target


class PowerOfTwo(Strategy):
    """Two targets drawn at random, the one with fewer generations in flight.

    Rule: twitter/finagle, finagle-core/.../loadbalancer/p2c/P2CPick.scala (read); of equals the second. Health comes
    first there; here whoever is not well is no candidate. Envoy's default of `choice_count` is 2 as well (its docs).
    """

    name = "p2c"

    def choose(self, request: Request, targets: Sequence[Target], now: float, rng: random.Random) -> Target:
        """The less loaded of two."""
        if len(targets) == 1:
            return targets[0]
        one, other = pair(targets, rng)
        return one if one.load < other.load else other

    def score(self, request: Request, target: Target, now: float) -> Score:
        """Its generations in flight."""
        return Score(target.load, {"generations": target.load})


def pair(targets: Sequence[Target], rng: random.Random) -> tuple[Target, Target]:
    """Two different targets of at least two, each pair equally likely."""
    first, second = rng.randrange(len(targets)), rng.randrange(len(targets) - 1)
    # The second draw leaves a hole at the first, and everything above it moves up by one.
    return targets[first], targets[second + (second >= first)]
