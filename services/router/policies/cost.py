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
        values = _prices(request, targets, now)
        if request.first_content_slo is not None:
            # Whether it would be in time is asked of the cheapest first: mostly that is enough.
            for value in sorted(set(values)):
                equal = [target for target, other in zip(targets, values, strict=True) if other == value]
                cheapest = [target for target in equal if not _late(request, target, now)]
                if cheapest:
                    return cheapest[0] if len(cheapest) == 1 else longest_unused(cheapest, rng)
            values = [_late(request, target, now) for target in targets]
        least = min(values)
        cheapest = [target for target, value in zip(targets, values, strict=True) if value == least]
        chosen = cheapest[0] if len(cheapest) == 1 else longest_unused(cheapest, rng)
        self.runner_up = best_other(targets, values, chosen)
        return chosen

    def score(self, request: Request, target: Target, now: float) -> Score:
        """Its price in nano-USD, and below that its load as a fraction of one."""
        taken = predict(request, target, now)
        terms = {
            "cost_nano_usd": target.cost(request, request.output_tokens, taken.whole_seconds(request.output_tokens)),
            "first_content_seconds": taken.first_content_seconds,
            "generations": float(target.load),
            "capacity": float(target.capacity),
        }
        return Score(_late(request, target, now) or _prices(request, [target], now)[0], terms)


def _prices(request: Request, targets: Sequence[Target], now: float) -> list[float]:
    """What the request costs at each in nano-USD, and below that its load as a fraction of one."""
    hits, known, largest, answer = request.hits, dict[tuple[int, int], int](), 0, request.output_tokens
    values = []
    for target in targets:
        # Targets of one price and with as much in their caches cost the same, unless time does.
        kind = (id(target.price), hits.get(target.position, 0))
        price = known.get(kind)
        if price is None:
            timed = target.price is not None and target.price.second
            taken = predict(request, target, now).whole_seconds(answer) if timed else 0.0
            price = round(target.cost(request, answer, taken))
            if not timed:
                known[kind] = price
        worker = target.worker
        capacity = worker.capacity or largest
        if not capacity:  # a worker without a known limit counts as large as the largest that has one
            capacity = largest = max([other.worker.capacity for other in request.pool.targets]) or 1
        running = worker.leases + worker.others + 1
        # That is load / (1 + load), of a load that is a share of the capacity.
        values.append(price + running / (running + capacity))
    return values


def _late(request: Request, target: Target, now: float) -> float:
    """What a target seems to cost that would not begin in time, the later the more; 0 where it would."""
    slo = request.first_content_slo
    if slo is None:
        return 0.0
    soon = predict(request, target, now).first_content_seconds + target.speeds.penalty(now)
    return _LATE_NANO_USD + soon if soon > slo else 0.0
