"""Whoever is cheapest."""

import random
from collections.abc import Sequence

from services.router.knowledge.prediction import predict
from services.router.policies.strategy import Score, Strategy, best_other, longest_unused
from services.router.request import Request
from services.router.target import Target

# Nano-USD that a late target seems to cost besides: more than any request does, so that late ones come last.
_LATE_NANO_USD = 1e15


class Cost(Strategy):
    """The cheapest target of those that would begin in time; of equally cheap ones the least loaded.

    In time is within the request's objective for the first content, if it has one. Where nobody would be, the soonest
    one. What a target has cached is charged as cached.
    """

    name = "cost"

    def choose(self, request: Request, targets: Sequence[Target], now: float, rng: random.Random) -> Target:
        """The cheapest target that would begin in time."""
        largest = _largest(request)
        values = [_value(request, target, largest, now) for target in targets]
        least = min(values)
        cheapest = [target for target, value in zip(targets, values, strict=True) if value == least]
        chosen = cheapest[0] if len(cheapest) == 1 else longest_unused(cheapest, rng)
        self.runner_up = best_other(targets, values, chosen)
        return chosen

    def score(self, request: Request, target: Target, now: float) -> Score:
        """Its price in nano-USD, and below that its load as a fraction of one."""
        terms = {
            "cost_nano_usd": target.cost(request, request.output_tokens),
            "first_content_seconds": predict(request, target, now).first_content_seconds,
            "generations": float(target.load),
            "capacity": float(target.capacity),
        }
        return Score(_value(request, target, _largest(request), now), terms)


def _largest(request: Request) -> int:
    return max(target.worker.capacity for target in request.pool.targets) or 1


def _value(request: Request, target: Target, largest: int, now: float) -> float:
    slo = request.first_content_slo
    if slo is not None:
        soon = predict(request, target, now).first_content_seconds + target.speeds.penalty(now)
        if soon > slo:
            return _LATE_NANO_USD + soon
    load = (target.load + 1) / (target.worker.capacity or largest)
    return round(target.cost(request, request.output_tokens)) + load / (1.0 + load)
