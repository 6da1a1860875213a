"""A request as the router sees it: what it needs, what it may cost, where it may go. Never what it says."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hybridinference.inference.v1 import routing_pb2 as routing
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.deadline import to_seconds

if TYPE_CHECKING:
    from services.router.pools import Pool
    from services.router.target import Target

_BLOCK_TOKENS = 64
_NOTHING: frozenset[Any] = frozenset()


@dataclasses.dataclass(slots=True, eq=False)
class Request:
    """What was asked for.

    Attributes:
        ask: the question as it came.
        pool: the model's workers.
        needs: capabilities.
        input_tokens: estimated tokens of the prompt, at least 1.
        output_tokens: tokens that the answer is expected to have.
        blocks: keyed hashes of the prompt's leading blocks, each chained to those before it.
        block_tokens: tokens that a block stands for.
        seconds: the longest that it may take.
        max_cost: most that it may cost from now on, in nano-USD; infinity where it may cost anything.
        first_content_slo: longest time to the first content that is any good, in seconds; None is any.
        criticality: who gives way first.
        canary: targets of the canary route that the request falls to, which come before all others; mostly none.
        hits: prompt tokens that a target is expected to have in its cache, by the target's position; none is 0.
    """

    ask: placement.PlacementAsk
    pool: "Pool"
    needs: frozenset[int]
    input_tokens: int
    output_tokens: float
    seconds: float
    blocks: tuple[int, ...] = ()
    block_tokens: int = _BLOCK_TOKENS
    tags: frozenset[str] = frozenset()
    providers: frozenset[str] = frozenset()
    max_cost: float = math.inf
    first_content_slo: float | None = None
    criticality: int = routing.CRITICALITY_CRITICAL
    canary: "Sequence[Target]" = ()
    hits: Mapping[int, int] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, ask: placement.PlacementAsk, pool: "Pool") -> "Request":
        """The request of an ask, with what the model's settings add."""
        slo = to_seconds(ask.first_content_slo) if ask.HasField("first_content_slo") else pool.slo_seconds
        expected = pool.speeds.lengths.expected(ask.key)
        return cls(
            ask=ask,
            pool=pool,
            needs=frozenset(ask.capabilities) if ask.capabilities else _NOTHING,
            input_tokens=max(1, ask.input_tokens),
            output_tokens=min(expected, ask.max_output_tokens) if ask.max_output_tokens else expected,
            seconds=to_seconds(ask.time_left) if ask.HasField("time_left") else pool.longest_seconds,
            blocks=tuple(ask.prefix_hashes),
            block_tokens=ask.block_tokens or _BLOCK_TOKENS,
            tags=frozenset(ask.tags) if ask.tags else _NOTHING,
            providers=frozenset(ask.providers) if ask.providers else _NOTHING,
            max_cost=ask.max_cost_nano_usd if ask.HasField("max_cost_nano_usd") else math.inf,
            first_content_slo=slo,
            criticality=ask.criticality or routing.CRITICALITY_CRITICAL,
            canary=pool.canary(ask.generation_id, pinned=bool(ask.worker)),
        )

    def has_cost(self, nano_usd: int) -> None:
        """Its attempts that have ended have cost so much: only the rest of what it may cost is left."""
        if self.ask.HasField("max_cost_nano_usd"):
            self.max_cost = max(0, self.ask.max_cost_nano_usd - nano_usd)

    def uncached_tokens(self, position: int) -> int:
        """Prompt tokens that the target at this position has to read, at least 1."""
        return max(1, self.input_tokens - self.hits.get(position, 0))
