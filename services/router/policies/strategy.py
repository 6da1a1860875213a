"""What a strategy is given, and what it answers."""

import random
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from hybridinference.router.v1 import placement_pb2 as placement


class Candidate(NamedTuple):
    """One eligible worker, as seen at one moment. Never changes.

    Attributes:
        position: its place among all targets of the model.
        worker: the worker's name.
        provider: the provider's name in the configuration.
        provider_model: the model to ask of the provider.
        fallback: whether its route serves only when no primary one can.
        leases: attempts that this router has placed there and that have not ended.
        others: what the worker reported beyond this router's own leases.
        running: generations under way, as reported.
        waiting: generations waiting for room, as reported.
        capacity: most generations that it runs at once; 0 where no limit is known.
        kv_usage: share of the attention cache in use; None where there is none.
        queued_tokens: prompt tokens that wait to be read, as reported.
        first_content_seconds: smoothed time to first content; None before the first.
        turn: when the model was last placed there, as a count of placements; 0 is never.
    """

    position: int
    worker: str
    provider: str
    provider_model: str
    fallback: bool
    leases: int
    others: int
    running: int
    waiting: int
    capacity: int
    kv_usage: float | None
    queued_tokens: int
    first_content_seconds: float | None
    turn: int

    @property
    def load(self) -> int:
        """Generations there, each counted once: own leases, and what others have placed."""
        return self.leases + self.others

    @property
    def has_room(self) -> bool:
        """Whether it would begin at once, as far as is known."""
        return self.capacity == 0 or self.load < self.capacity


class Strategy(Protocol):
    """Chooses. What it learns, it holds itself; time, where it matters, comes with what it is told."""

    @property
    def name(self) -> str:
        """Its name in the configuration."""

    def choose(self, ask: placement.PlacementAsk, candidates: Sequence[Candidate], rng: random.Random) -> Candidate:
        """One of the candidates, of which there is at least one. They come in an order that never varies."""


def longest_unused(candidates: Sequence[Candidate], rng: random.Random) -> Candidate:
    """The candidate whose turn is longest ago; chance decides between those that never had one."""
    oldest = min(candidate.turn for candidate in candidates)
    unused = [candidate for candidate in candidates if candidate.turn == oldest]
    return unused[0] if len(unused) == 1 else unused[rng.randrange(len(unused))]
