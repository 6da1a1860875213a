"""Consistent hashing of prompts' beginnings, with bounded loads."""

import bisect
import hashlib
import math
import random
from collections.abc import Sequence

from services.router.policies.baselines.ties import least
from services.router.policies.strategy import Strategy
from services.router.request import Request
from services.router.target import Target


class BoundedHash(Strategy):
    """Clockwise from the hash of the prompt's first tokens, the first target that is below its bound.

    Rule: Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", arXiv 1608.01350 (from memory,
    unverified): with the request on it nobody has more than ceil(c x (all requests + this one) / targets), c = 1.25.
    lightseekorg/smg, model_gateway/src/policies/prefix_hash.rs (read) hashes the first 256 tokens with the same c, but
    rounds nothing up and goes from a full target to the least loaded one instead of on along the ring. A request
    without blocks goes to the least loaded target.

    Args:
        factor: c.
        prefix_tokens: tokens that are hashed, rounded down to whole blocks, at least one.
        points: places of each target on the ring.
    """

    name = "bounded_hash"

    def __init__(self, *, factor: float = 1.25, prefix_tokens: int = 256, points: int = 128) -> None:
        self._factor, self._prefix_tokens, self._points = factor, prefix_tokens, points
        self._targets: Sequence[Target] = ()
        self._ring: list[tuple[int, int]] = []  # a point, and the position of its target

    def choose(self, request: Request, targets: Sequence[Target], now: float, rng: random.Random) -> Target:
        """The first below its bound."""
        if not request.blocks:
            return least(targets, [target.load for target in targets], rng)
        if self._targets is not request.pool.targets:
            self._targets = request.pool.targets
            self._ring = sorted(point for target in self._targets for point in self._places(target))
        free = {target.position: target for target in targets}
        bound = math.ceil(self._factor * (sum(target.load for target in targets) + 1) / len(targets))
        count = max(1, self._prefix_tokens // request.block_tokens)
        # Hashes are chained: the last of the prefix stands for all of it.
        start = bisect.bisect_left(self._ring, (request.blocks[:count][-1], -1))
        for step in range(len(self._ring)):
            position = self._ring[(start + step) % len(self._ring)][1]
            target = free.get(position)
            if target is None:
                continue
            if target.load + 1 <= bound:
                return target
            del free[position]
        return least(targets, [target.load for target in targets], rng)

    def _places(self, target: Target) -> list[tuple[int, int]]:
        name = f"{target.worker.name}/{target.provider_model}/{target.role}"
        hashed = (hashlib.blake2b(f"{name}/{point}".encode(), digest_size=8) for point in range(self._points))
        return [(int.from_bytes(one.digest(), "big"), target.position) for one in hashed]
