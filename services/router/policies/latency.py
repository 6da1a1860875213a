"""Whoever is expected to be done first."""

import random
from collections.abc import Sequence

from services.config import strategy as settings
from services.router.knowledge.prediction import predict
from services.router.policies.sampling import worth_a_look
from services.router.policies.strategy import Score, Strategy, best_other, longest_unused
from services.router.request import Request
from services.router.target import Target


class Latency(Strategy):
    """The target with the least expected time: to the first content, and for an answer of the expected length.

    Looks at this request alone: what it costs the others at a worker, and what it costs in money, are `Adaptive`'s. Of
    very many targets only a sample is looked at.
    """

    name = "latency"

    def __init__(self, chosen: settings.Latency) -> None:
        self._weight = chosen.first_content_weight

    def choose(self, request: Request, targets: Sequence[Target], now: float, rng: random.Random) -> Target:
        """The target that would be done first."""
        targets = worth_a_look(request, targets, (), rng)
        values = [self._value(request, target, now) for target in targets]
        least = min(values)
        soonest = [target for target, value in zip(targets, values, strict=True) if value == least]
        chosen = soonest[0] if len(soonest) == 1 else longest_unused(soonest, rng)
        self.runner_up = best_other(targets, values, chosen)
        return chosen

    def score(self, request: Request, target: Target, now: float) -> Score:
        """The expected seconds, those to the first content weighted."""
        taken = predict(request, target, now)
        terms = {
            "wait_seconds": taken.wait_seconds,
            "reading_seconds": taken.reading_seconds,
            "token_seconds": taken.step_seconds,
            "output_tokens": request.output_tokens,
            "penalty_seconds": target.speeds.penalty(now),
        }
        return Score(self._value(request, target, now), terms)

    def _value(self, request: Request, target: Target, now: float) -> float:
        taken = predict(request, target, now)
        soon = taken.wait_seconds + taken.reading_seconds + taken.step_seconds
        return self._weight * soon + request.output_tokens * taken.step_seconds + target.speeds.penalty(now)
