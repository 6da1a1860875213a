"""What a caller asks for, in the words that both faces share."""

import dataclasses
from typing import Generic, TypeVar

from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import routing_pb2

from services.chassis import traceparent as w3c
from services.chassis.deadline import Deadline
from services.gateway.identity.grant import ANYBODY, Grant
from services.inference.operation import operation_of

Spec = TypeVar("Spec", generation.GenerationSpec, embedding.EmbeddingSpec)


@dataclasses.dataclass(frozen=True, slots=True)
class Call(Generic[Spec]):
    """One request.

    Attributes:
        spec: what to generate, or to embed.
        api: the face it came through, `openai` or `inference`.
        streamed: whether the caller gets pieces.
        deadline: when the caller wants to have been answered.
        grant: the key that it is made with.
        tenant: stands for the caller, see services.gateway.tenant; never logged, never recorded.
        credential: stands for the caller's credential alone, whatever label came with it; neither.
        secret: the caller's own key, for what the router is told of prompts. Without one it is told nothing of them.
        routing: what the caller wants of the route; checked.
        edge_request_id: the edge's id of the HTTP request.
        traceparent: W3C trace context, well-formed, see services.chassis.traceparent.
        begins_trace: whether the trace begins with this call; its traceparent then names the call's own span.
    """

    spec: Spec
    api: str
    streamed: bool
    deadline: Deadline
    grant: Grant = ANYBODY
    tenant: str = dataclasses.field(default="", repr=False)
    credential: str = dataclasses.field(default="", repr=False)
    secret: bytes = dataclasses.field(default=b"", repr=False)
    routing: routing_pb2.RoutingHints = dataclasses.field(default_factory=routing_pb2.RoutingHints)
    edge_request_id: str = ""
    traceparent: str = ""
    begins_trace: bool = False

    @property
    def operation(self) -> str:
        """What is asked for: `chat`, `completions` or `embeddings`."""
        return operation_of(self.spec)

    @property
    def trace_id(self) -> str:
        """The trace's id, 32 hexadecimal digits; empty without a trace."""
        return w3c.trace_id(self.traceparent)

    @property
    def sampled_trace_id(self) -> str:
        """The same of a trace whose spans are kept, as for an exemplar; empty of any other."""
        return w3c.sampled_trace_id(self.traceparent)
