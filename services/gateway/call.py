"""What a caller asks for, in the words that both faces share."""

import dataclasses
import re

from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.deadline import Deadline

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One request for a generation.

    Attributes:
        spec: what to generate.
        api: the face it came through, `openai` or `inference`.
        streamed: whether the caller gets pieces.
        deadline: when the caller wants to have been answered.
        operation: `chat` or `embeddings`.
        edge_request_id: the edge's id of the HTTP request.
        traceparent: W3C trace context.
    """

    spec: generation.GenerationSpec
    api: str
    streamed: bool
    deadline: Deadline
    operation: str = "chat"
    edge_request_id: str = ""
    traceparent: str = ""

    @property
    def trace_id(self) -> str:
        """The trace's id, 32 hexadecimal digits; empty without a trace."""
        found = _TRACEPARENT.match(self.traceparent)
        return found[1] if found else ""
