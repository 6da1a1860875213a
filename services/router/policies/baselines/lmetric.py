"""LMetric: prompt tokens to be read, times the batch."""

import random
from collections.abc import Sequence

from services.router.policies.baselines.hot_prefixes import HotPrefixes, Reading
from services.router.policies.baselines.ties import least
from services.router.policies.strategy import Score, Strategy
from services.router.request import Request
from services.router.target import Target


class LMetric(Strategy):
    """argmin of P-token x BS: uncached prompt tokens, waiting ones included, times (generations there + 1).

    Rule: blitz-serving/blitz-router, the authors' router: docs/dsl/policies.md, `lmetric-q` (read), for Zhang et al.,
    "Simple is Better: Multiplication May Be All You Need for LLM Request Scheduling", OSDI 2026, arXiv 2603.15202
    (abstract read). Chance decides between equals (theirs is unverified). The detector of hot prefixes is in the paper
    and not in that policy, so it is off by default; see `HotPrefixes` for what is known of it.

    Args:
        detect: leave those out that have a hot prefix.
        class_tokens: requests whose first so many tokens are the same are of one class (ours).
    """

    name = "lmetric"

    def __init__(self, *, detect: bool = False, class_tokens: int = 256) -> None:
        self._hot = HotPrefixes() if detect else None
        self._class_tokens = class_tokens

    def choose(self, request: Request, targets: Sequence[Target], now: float, rng: random.Random) -> Target:
        """The lowest product."""
        products = [_tokens(request, target) * (target.load + 1) for target in targets]
        count = max(1, self._class_tokens // request.block_tokens)
        if self._hot is not None and len(request.blocks) >= count:
            shared = min(count * request.block_tokens, request.input_tokens - 1)
            has = [request.hits.get(target.position, 0) >= shared for target in targets]
            held = [product for product, holds in zip(products, has, strict=True) if holds]
            cold = [product for product, holds in zip(products, has, strict=True) if not holds]
            prefers = bool(held) and (not cold or min(held) <= min(cold))
            if self._hot.on_request(Reading(request.blocks[count - 1], len(held), len(cold), prefers), now):
                targets = [target for target, holds in zip(targets, has, strict=True) if not holds]
                products = cold
        return least(targets, products, rng)

    def score(self, request: Request, target: Target, now: float) -> Score:
        """Its product."""
        tokens, batch = _tokens(request, target), target.load + 1
        return Score(tokens * batch, {"prompt_tokens": tokens, "batch": batch})


def _tokens(request: Request, target: Target) -> int:
    return target.worker.waiting_tokens + request.uncached_tokens(target.position)
