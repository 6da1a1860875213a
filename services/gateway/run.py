"""One attempt at a request, from its placement to its end."""

from collections.abc import Sequence

from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import provider_try_pb2 as provider_try
from hybridinference.router.v1 import placement_pb2 as placement


class Run:
    """One attempt's placement, beginning and use, and what its worker asked of the provider in vain."""

    def __init__(self, placed: placement.Placement, begun_at: float) -> None:
        self.placed = placed
        self.begun_at = begun_at
        self.first_content_at: float | None = None
        self.usage: generation.Usage | None = None
        self.finished = False
        self.tries: Sequence[provider_try.ProviderTry] = ()

    def count(self, ready: Sequence[generation.GenerationEvent]) -> None:
        """Count tokens as they pass, for attempts that end without telling."""
        tokens = sum([event.delta.tokens for event in ready])  # 0 of an event that is no delta
        if tokens:
            if self.usage is None:
                self.usage = generation.Usage(estimated=True)
            self.usage.output_tokens += tokens
