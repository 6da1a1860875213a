"""Whoever has least to do."""

import random
from collections.abc import Sequence

from services.router.policies.strategy import Score, Strategy, best_other, longest_unused
from services.router.request import Request
from services.router.target import Target


class LeastLoaded(Strategy):
    """The worker that would be least loaded with this request on it, as a share of its capacity where that is known.

    Among equals the one that was used longest ago, so that equal workers share evenly even when all are idle.
    """

    name = "least_loaded"

    def choose(self, request: Request, targets: Sequence[Target], now: float, rng: random.Random) -> Target:
        """The target with the least load."""
        # A worker without a known limit, a vendor's API say, counts as large as the largest that has one.
        capacities = [target.worker.capacity for target in targets]
        largest = max(capacities) or 1
        loads = [(target.load + 1) / (size or largest) for target, size in zip(targets, capacities, strict=True)]
        least = min(loads)
        idlest = [target for target, load in zip(targets, loads, strict=True) if load == least]
        chosen = idlest[0] if len(idlest) == 1 else longest_unused(idlest, rng)
        self.runner_up = best_other(targets, loads, chosen)
        return chosen

    def score(self, request: Request, target: Target, now: float) -> Score:
        """Its load with the request on it, as a share of its capacity."""
        capacity = target.worker.capacity or max(other.worker.capacity for other in request.pool.targets) or 1
        return Score((target.load + 1) / capacity, {"generations": target.load, "capacity": target.worker.capacity})
