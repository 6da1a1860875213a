"""Prefix affinity above a threshold while loads are balanced, as SGLang's gateway has it."""

import random
from collections.abc import Sequence
from typing import Literal

from services.router.policies.baselines.ties import least
from services.router.policies.strategy import Strategy
from services.router.request import Request
from services.router.target import Target


class PrefixThreshold(Strategy):
    """The least loaded target while loads are far apart; else whoever has enough of the prompt; else the emptiest.

    Rule: lightseekorg/smg, model_gateway/src/policies/cache_aware.rs (read) and its ancestor in SGLang's router. Loads
    are far apart if max - min > `absolute` and max > `relative` x min. Else the longest match decides if it is above
    `threshold` of the prompt. Else SGLang's router took the target with the smallest tree (`get_smallest_tenant`,
    read); smg takes the least loaded one, though its comments still say smallest tree: `cold` has both. Of equal
    matches smg takes any with token trees, and with engine events the one with less load, then the smaller tree, which
    is done here. Defaults: smg's code (mod.rs, read); its documents say 0.3, 64 and 1.5.

    Trees are the shared index of prefixes with its own bound on blocks, not trees of 10,000 nodes that are trimmed
    every 30 s; loads are those of the candidates. KV-usage triggers of newer versions are off by default, and left out.
    """

    name = "prefix_threshold"

    def __init__(
        self,
        *,
        threshold: float = 0.5,
        absolute: int = 32,
        relative: float = 1.1,
        cold: Literal["smallest_tree", "least_loaded"] = "smallest_tree",
    ) -> None:
        self._threshold, self._absolute, self._relative, self._cold = threshold, absolute, relative, cold

    def choose(self, request: Request, targets: Sequence[Target], now: float, rng: random.Random) -> Target:
        """By load, by match or by room for more."""
        loads = [target.load for target in targets]
        lowest, highest = min(loads), max(loads)
        if highest - lowest > self._absolute and highest > self._relative * lowest:
            return least(targets, loads, rng)
        longest = max((request.hits.get(target.position, 0) for target in targets), default=0)
        if longest > self._threshold * request.input_tokens:
            matching = [target for target in targets if request.hits.get(target.position, 0) == longest]
            size = request.pool.prefixes.size
            return min(matching, key=lambda target: (target.load, size(target.position)))
        if self._cold == "least_loaded":
            return least(targets, loads, rng)
        return least(targets, [request.pool.prefixes.size(target.position) for target in targets], rng)
