"""What comes with a call besides its message: time left, the caller, the edge's id, the trace."""

from typing import Any

import grpc

from services.chassis.deadline import Deadline
from services.gateway.call import Call, Spec
from services.gateway.tenant import Tenants

# Leaves time to report our own timeout, with its reason, before the caller's fires.
_MARGIN_SECONDS = 0.02
_LONGEST_ID = 128


class Arrival:
    """The circumstances of one call."""

    def __init__(
        self, context: "grpc.aio.ServicerContext[Any, Any]", *, now: float, longest_seconds: float, tenants: Tenants
    ) -> None:
        self._metadata = {str(key): value for key, value in context.invocation_metadata() or ()}
        self._tenants = tenants
        left = context.time_remaining()
        longest = Deadline.after(longest_seconds, now=now)
        self.deadline = longest if left is None else longest.earlier(max(0.0, left - _MARGIN_SECONDS), now=now)

    @property
    def transcoded(self) -> bool:
        """Whether the edge made this call of HTTP and JSON. It takes the header from everybody else."""
        return "x-envoy-original-path" in self._metadata

    def call(self, spec: Spec, *, api: str, streamed: bool) -> Call[Spec]:
        """The call for a spec that came this way."""
        return Call(
            spec=spec,
            api=api,
            streamed=streamed,
            deadline=self.deadline,
            tenant=self._tenants.mark(self._text("authorization"), spec.user),
            edge_request_id=self._text("x-request-id")[:_LONGEST_ID],
            traceparent=self._text("traceparent")[:_LONGEST_ID],
        )

    def _text(self, key: str) -> str:
        value = self._metadata.get(key, "")
        return value if isinstance(value, str) else ""
