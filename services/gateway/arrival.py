"""What comes with a call besides its message: time left, the caller, the edge's id, the trace."""

import os
import re
from collections.abc import Mapping
from typing import Any, cast

import grpc
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import routing_pb2

from services.chassis import traceparent as w3c
from services.chassis.deadline import Deadline
from services.chassis.failure import Failure
from services.gateway import hints
from services.gateway.call import Call, Spec
from services.gateway.identity.grant import Grant
from services.gateway.models import Models
from services.gateway.tenant import Tenants

TIMEOUT = "x-hybrid-timeout-ms"

# Leaves time to report our own timeout, with its reason, before the caller's fires.
_MARGIN_SECONDS = 0.02
_LONGEST_ID = 128
_MILLISECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)


class Arrival:
    """The circumstances of one call."""

    def __init__(
        self,
        context: "grpc.aio.ServicerContext[Any, Any]",
        *,
        grant: Grant,
        now: float,
        longest_seconds: float,
        models: Models,
        tenants: Tenants,
        allow_pinning: bool = False,
        trace_share: float = 0.0,
    ) -> None:
        """Of the call that `grant`, the key it is made with, has let in.

        `now` is by the event loop's clock. Of traces that begin here such a share is kept.
        """
        self._metadata = {str(key): value for key, value in context.invocation_metadata() or ()}
        self.grant = grant
        self._models = models
        self._tenants = tenants
        self._allow_pinning = allow_pinning
        self._now = now
        left = context.time_remaining()
        longest = Deadline.after(longest_seconds, now=now)
        self._deadline = longest if left is None else longest.earlier(max(0.0, left - _MARGIN_SECONDS), now=now)
        came_with = w3c.accepted(self._text("traceparent"))
        self.traceparent = came_with or w3c.begun(os.urandom(24), share=trace_share)
        self._begins_trace = not came_with

    @property
    def transcoded(self) -> bool:
        """Whether the edge made this call of HTTP and JSON. It takes the header from everybody else."""
        return "x-envoy-original-path" in self._metadata

    @property
    def deadline(self) -> Deadline:
        """When the caller wants to have been answered. Over HTTP a header says so, as grpc-timeout does over gRPC.

        Raises:
            Failure: SPEC_INVALID, naming the header.
        """
        asked = self._metadata.get(TIMEOUT) if self.transcoded else None
        if asked is None:
            return self._deadline
        if not isinstance(asked, str) or not _MILLISECONDS.fullmatch(asked) or not int(asked):
            raise Failure(
                reasons.ERROR_REASON_SPEC_INVALID,
                f"The header `{TIMEOUT}` must be a whole number of milliseconds above 0, of at most 12 digits.",
                field=TIMEOUT,
            )
        return self._deadline.earlier(int(asked) / 1e3, now=self._now)

    def hints(self, *, session: str = "") -> routing_pb2.RoutingHints:
        """What the headers say of the route. `session` stands for the conversation where none of them does.

        Raises:
            Failure: SPEC_INVALID or PERMISSION_DENIED, naming the header.
        """
        said = self._allowed(hints.of_headers(self._metadata), hints.HEADERS)
        said.session = said.session or session
        return said

    def checked(self, said: routing_pb2.RoutingHints) -> routing_pb2.RoutingHints:
        """Hints that came in a message.

        Raises:
            Failure: SPEC_INVALID or PERMISSION_DENIED, naming the field.
        """
        return self._allowed(said, hints.FIELDS)

    def _allowed(self, said: routing_pb2.RoutingHints, named: Mapping[str, str]) -> routing_pb2.RoutingHints:
        hints.check(said, named, allow_pinning=self._allow_pinning, most_critical=self.grant.criticality)
        lowered = hints.lowered(said.criticality, self.grant.criticality)
        said.criticality = cast("routing_pb2.Criticality", lowered)
        return said

    def call(self, spec: Spec, *, api: str, streamed: bool, routing: routing_pb2.RoutingHints) -> Call[Spec]:
        """The call for a spec that came this way.

        Raises:
            Failure: SPEC_INVALID, naming a header that is wrong; MODEL_NOT_FOUND for a model that is not the key's.
        """
        self._models.require_allowed(spec.model, self.grant)
        # By the key's id a caller stays the same when its secret changes. Without keys, what it calls itself by.
        caller = self.grant.key_id or self._text("authorization")
        tenant = self._tenants.mark(caller, spec.user)
        return Call(
            spec=spec,
            api=api,
            streamed=streamed,
            deadline=self.deadline,
            grant=self.grant,
            tenant=tenant,
            credential=self._tenants.credential_mark(caller) if spec.user else tenant,
            secret=self._tenants.secret(tenant),
            routing=routing,
            edge_request_id=self._text("x-request-id")[:_LONGEST_ID],
            traceparent=self.traceparent,
            begins_trace=self._begins_trace,
        )

    def _text(self, key: str) -> str:
        value = self._metadata.get(key, "")
        return value if isinstance(value, str) else ""
