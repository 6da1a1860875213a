"""Dynamo's linear cost: blocks to be read, plus blocks that decoding holds."""

import math
import random
from collections.abc import Mapping, Sequence

from services.router.policies.baselines.active_blocks import ActiveBlocks
from services.router.policies.baselines.ties import least
from services.router.policies.strategy import Score, Strategy
from services.router.request import Request
from services.router.target import Target


class DynamoLinear(Strategy):
    """argmin of scale x max(waiting + prompt - credit x overlap, 0) + decode, all in blocks.

    Rule: ai-dynamo/dynamo, docs/components/router/router-concepts.md and
    lib/kv-router/src/scheduling/selector/default.rs (read). Waiting are the uncached prompt tokens without a first
    token; decode are the blocks of the prompts that run there, with this request's own, shared ones once (its
    bookkeeping of active blocks is unverified). Chance decides between equals. With a temperature the target is drawn
    by a softmax of the costs, which are first divided by their range. Defaults: scale 1, credit 1, temperature 0; decay
    of the credit, lower cache tiers, weight of active requests and busy thresholds are left out, since they are off
    there or have no equivalent. Load that others placed is known as waiting tokens only, as without replica sync.
    """

    name = "dynamo_linear"

    def __init__(self, *, scale: float = 1.0, credit: float = 1.0, temperature: float = 0.0) -> None:
        self._scale, self._credit, self._temperature = scale, credit, temperature
        self._active = ActiveBlocks()
        self._taken: set[tuple[str, int]] = set()  # generations that hold blocks, and where

    def choose(self, request: Request, targets: Sequence[Target], now: float, rng: random.Random) -> Target:
        """The cheapest, or drawn by cost."""
        shared = self._active.shared(request.blocks)
        costs = [sum(self._parts(request, target, shared)) for target in targets]
        if self._temperature == 0:
            return least(targets, costs, rng)
        return rng.choices(targets, _weights(costs, self._temperature))[0]

    def score(self, request: Request, target: Target, now: float) -> Score:
        """Its cost in blocks."""
        prefill, decode = self._parts(request, target, self._active.shared(request.blocks))
        return Score(prefill + decode, {"prefill_blocks": prefill, "decode_blocks": decode})

    def on_placed(self, request: Request, target: Target, now: float) -> None:
        """Its blocks are held."""
        self._taken.add((request.ask.generation_id, target.position))
        self._active.take(target.position, request.blocks, _unnamed(request))

    def on_ended(self, request: Request, target: Target, seconds: float, now: float, *, failed: bool) -> None:
        """Its blocks are free."""
        self._free(request, target)

    def on_vanished(self, request: Request, target: Target) -> None:
        """Its blocks are free."""
        self._free(request, target)

    def on_reset(self, target: Target) -> None:
        """Nothing runs there."""
        self._active.clear(target.position)
        self._taken = {taken for taken in self._taken if taken[1] != target.position}

    def _parts(self, request: Request, target: Target, shared: Mapping[int, int]) -> tuple[float, float]:
        position, size = target.position, request.block_tokens
        raw = (target.worker.waiting_tokens + request.input_tokens) / size
        overlap = request.hits.get(position, 0) // size
        decode = self._active.size(position) + _blocks(request) - shared.get(position, 0)
        return self._scale * max(raw - self._credit * overlap, 0.0), decode

    def _free(self, request: Request, target: Target) -> None:
        if (request.ask.generation_id, target.position) in self._taken:
            self._taken.remove((request.ask.generation_id, target.position))
            self._active.release(target.position, request.blocks, _unnamed(request))


def _blocks(request: Request) -> int:
    return max(len(request.blocks), math.ceil(request.input_tokens / request.block_tokens))


def _unnamed(request: Request) -> int:
    return _blocks(request) - len(request.blocks)


def _weights(costs: Sequence[float], temperature: float) -> list[float]:
    lowest, spread = min(costs), max(costs) - min(costs)
    return [math.exp(-(cost - lowest) / (spread * temperature)) if spread else 1.0 for cost in costs]
