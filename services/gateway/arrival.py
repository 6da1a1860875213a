"""What comes with a call besides its message: time left, the edge's id, the trace."""

from typing import Any

import grpc
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.deadline import Deadline
from services.gateway.call import Call

# Leaves time to report our own timeout, with its reason, before the caller's fires.
_MARGIN_SECONDS = 0.02


class Arrival:
    """The circumstances of one call."""

    def __init__(self, context: "grpc.aio.ServicerContext[Any, Any]", *, now: float, longest_seconds: float) -> None:
        self._metadata = {str(key): value for key, value in context.invocation_metadata() or ()}
        left = context.time_remaining()
        longest = Deadline.after(longest_seconds, now=now)
        self.deadline = longest if left is None else longest.earlier(max(0.0, left - _MARGIN_SECONDS), now=now)

    def call(self, spec: generation.GenerationSpec, *, api: str, streamed: bool) -> Call:
        """The call for a spec that came this way."""
        return Call(
            spec=spec,
            api=api,
            streamed=streamed,
            deadline=self.deadline,
            edge_request_id=self._text("x-request-id"),
            traceparent=self._text("traceparent"),
        )

    def _text(self, key: str) -> str:
        value = self._metadata.get(key, "")
        return value[:128] if isinstance(value, str) else ""
