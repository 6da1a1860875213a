"""The spans of a router: one for each question for a place, from its arrival to its answer."""

from google.rpc import status_pb2
from hybridinference.router.v1 import placement_pb2 as placement
from hybridinference.router.v1 import router_service_pb2 as router

from services.chassis import status
from services.chassis import traceparent as w3c
from services.chassis.failure import Failure
from services.chassis.spans import Event, Kind, Span, Tracer
from services.inference.attempts import kind_word
from services.router.decider import Answer
from services.router.leases import GatewayStream


class PlacementSpans:
    """The spans of questions whose traces are kept. Those that wait for room are held until they are answered."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._waiting: dict[GatewayStream, dict[str, Span]] = {}

    def asked(self, stream: GatewayStream, command: router.PlaceCommand) -> Span | None:
        """A command has come, and nothing has been decided: the span of its question, if it is one."""
        match command.WhichOneof("command"):
            case "ask":
                return self._begun(command.ask.traceparent)
            case "outcome" if command.outcome.wanted:
                return self._begun(_trace_of(stream, command.outcome.attempt_id))
            case "hedge":
                return self._begun(_trace_of(stream, command.hedge.attempt_id))
            case "withdrawal":
                waited = self._waiting.get(stream, {}).pop(command.withdrawal.generation_id, None)
                if waited is not None:
                    self._tracer.end(waited, error="CANCELLED", failed=False)
        return None

    def answered(self, stream: GatewayStream, span: Span | None, answer: Answer | None) -> None:
        """That is what became of a question, for now or for good. None: it was none after all."""
        if span is None or answer is None:
            return
        if isinstance(answer, placement.Waiting):
            span.events.append(Event("waiting", self._tracer.clock_ns(), {"hybrid.ahead": answer.ahead}))
            self._waiting.setdefault(stream, {})[answer.generation_id] = span
        elif isinstance(answer, placement.Placement):
            self._placed(span, answer)
        else:
            # Whoever is refused a second attempt still has the first.
            self._tracer.end(span, error=_reason(answer.cause), failed=not answer.attempt_id)

    def released(self, stream: GatewayStream, answer: Answer) -> None:
        """One that waited is answered."""
        if isinstance(answer, placement.Waiting):
            return
        span = self._waiting.get(stream, {}).pop(answer.generation_id, None)
        self.answered(stream, span, answer)

    def ended(self, stream: GatewayStream) -> None:
        """A gateway has gone, and with it all that waited."""
        for span in self._waiting.pop(stream, {}).values():
            self._tracer.end(span, error="CANCELLED", failed=False)

    def _begun(self, traceparent: str) -> Span | None:
        if not w3c.sampled(traceparent):
            return None
        return self._tracer.below(traceparent, "place", Kind.SERVER)

    def _placed(self, span: Span, placed: placement.Placement) -> None:
        span.attributes |= {
            "hybrid.attempt.id": placed.attempt_id,
            "hybrid.attempt.number": placed.number,
            "hybrid.attempt.kind": kind_word(placed.kind) or "first",
            "hybrid.worker": placed.worker,
            "hybrid.provider": placed.provider,
            "hybrid.strategy": placed.strategy,
            "hybrid.targets": placed.decision.targets,
            "hybrid.eligible": placed.decision.eligible,
            "gen_ai.request.model": placed.provider_model,
        }
        self._tracer.end(span)


def _trace_of(stream: GatewayStream, attempt_id: str) -> str:
    """The trace of the request that an attempt is at; "" where none is known."""
    lease = stream.leases.get(attempt_id)
    return "" if lease is None else lease.generation.traceparent


def _reason(cause: Failure | status_pb2.Status) -> str:
    return (cause if isinstance(cause, Failure) else status.from_status(cause)).reason_name
