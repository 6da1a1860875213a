"""What a worker asks of its provider."""

import dataclasses
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model


@dataclasses.dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that a provider serves: the name to ask for, its context in tokens (0: unknown), what it can do."""

    name: str
    context_tokens: int
    capabilities: Collection[model.Capability]


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """How busy a provider is, now. Counts of generations and of tokens; 0 capacity is no known limit."""

    running: int = 0
    waiting: int = 0
    capacity: int = 0
    kv_usage: float | None = None
    kv_capacity_tokens: int = 0
    queued_tokens: int = 0
    prefix_query_tokens: int = 0
    prefix_hit_tokens: int = 0


class Provider(Protocol):
    """A provider that is ready to generate.

    It never tries again by itself, and it holds nothing back: an event is yielded as soon as it is there.
    """

    @property
    def models(self) -> Sequence[ServedModel]:
        """What it serves."""

    def load(self) -> Load:
        """How busy it is. Cheap: called many times a second."""

    def generate(self, spec: generation.GenerationSpec) -> AsyncGenerator[generation.GenerationEvent, None]:
        """Generate, in the grammar of GenerationEvent. Closing the generator, or cancelling its task, ends the work.

        The spec has been checked against the model's capabilities.

        Raises:
            Failure: with the reason, once.
        """

    async def embed(self, spec: embedding.EmbeddingSpec) -> tuple[Sequence[embedding.Embedding], generation.Usage]:
        """Turn inputs into vectors, in order.

        Raises:
            Failure: with the reason.
        """

    async def died(self) -> str:
        """Return, with the cause in words, only once the provider can serve no more; the process then ends."""


# Entering the context loads the provider, however long that takes; leaving it lets go of everything it holds.
ProviderContext = AbstractAsyncContextManager[Provider]
