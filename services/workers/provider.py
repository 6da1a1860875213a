"""What a worker asks of its provider."""

import dataclasses
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.inference.v1 import provider_try_pb2 as provider_try
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.worker.v1 import session_pb2 as session


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
    headroom: Sequence[worker_status.Headroom] = ()


@dataclasses.dataclass(slots=True)
class AttemptContext:
    """What comes with a spec, and what is reported beside its answer.

    Attributes:
        tenant: stands for the caller, to keep caches of callers apart and a caller with one key; empty when unknown.
        continuation: what another replica has said of the answer, to go on from; None in a fresh attempt.
        tries: what the provider was asked in vain, added to by the provider as it happens.
        traceparent: W3C trace context to hand on; empty where none is to be.
    """

    tenant: str = ""
    continuation: session.Continuation | None = None
    tries: list[provider_try.ProviderTry] = dataclasses.field(default_factory=list)
    traceparent: str = ""


class Embedded(NamedTuple):
    """Vectors, in order of the inputs, the tokens they took, and the model as the provider names it.

    `dropped_fields` are those of the spec that it never saw; a provider leaves them empty.
    """

    embeddings: Sequence[embedding.Embedding]
    usage: generation.Usage
    provider_model: str
    dropped_fields: Sequence[str] = ()


class Provider(Protocol):
    """A provider that is ready to generate.

    It never tries again by itself, except with another of its keys before anything was emitted; and it holds nothing
    back: an event is yielded as soon as it is there.
    """

    @property
    def models(self) -> Sequence[ServedModel]:
        """What it serves."""

    @property
    def continues(self) -> bool:
        """Whether it can go on with an answer that another replica began."""

    def load(self) -> Load:
        """How busy it is. Cheap: called many times a second."""

    def generate(
        self, spec: generation.GenerationSpec, context: AttemptContext
    ) -> AsyncGenerator[generation.GenerationEvent, None]:
        """Generate, in the grammar of GenerationEvent. Closing the generator, or cancelling its task, ends the work.

        The spec has been checked against the model's capabilities. With a continuation, the events are those that
        follow what was said already, and the usage has the prompt as it was asked and the tokens that are new.

        Raises:
            Failure: with the reason, once; UNSUPPORTED where it cannot go on exactly.
        """

    async def embed(self, spec: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
        """Turn inputs into vectors, in order. Cancelling the task ends the work.

        The spec has been checked against the model's capabilities.

        Raises:
            Failure: with the reason.
        """

    async def died(self) -> str:
        """Return, with the cause in words, only once the provider can serve no more; the process then ends."""


# Entering the context loads the provider, however long that takes; leaving it lets go of everything it holds.
ProviderContext = AbstractAsyncContextManager[Provider]
