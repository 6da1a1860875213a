"""The spans of a worker: one for each attempt."""

from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import provider_try_pb2 as provider_try

from services.chassis import traceparent as w3c
from services.chassis.deadline import to_seconds
from services.chassis.spans import Event, Kind, Span, Tracer, Value
from services.inference import labels
from services.inference.endings import ending_words
from services.inference.operation import operation_of
from services.workers.grammar import Stream
from services.workers.order import Order

_WHY = {value: name.removeprefix("ERROR_REASON_") for name, value in reasons.ErrorReason.items()}


class AttemptSpans:
    """Makes the spans of attempts whose traces are kept."""

    def __init__(self, tracer: Tracer, *, worker: str, kind: str) -> None:
        """Of the worker of that name, whose provider is of that kind."""
        self._tracer = tracer
        self._provider = labels.provider_name(kind)
        self._worker = worker

    def begun(self, spec: generation.GenerationSpec | embedding.EmbeddingSpec, order: Order) -> Span | None:
        """An attempt begins; what it asks of its provider goes on with the trace."""
        order.context.traceparent = order.traceparent
        if not w3c.sampled(order.traceparent):
            return None
        operation = labels.OPERATIONS[operation_of(spec)]
        span = self._tracer.below(order.traceparent, f"{operation} {spec.model}", Kind.SERVER)
        order.context.traceparent = span.traceparent
        span.attributes |= {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": self._provider,
            "gen_ai.request.model": spec.model,
            "hybrid.worker": self._worker,
            "hybrid.attempt.id": order.attempt_id,
            "hybrid.continuation": order.context.continuation is not None,
        }
        return span

    def ended(
        self,
        span: Span,
        order: Order,
        *,
        reason: str,
        stream: Stream | None,
        usage: generation.Usage | None,
        begun: float,
    ) -> None:
        """An attempt has ended, with OK or a reason. `begun` is by the clock of `stream`."""
        attributes: dict[str, Value] = {}
        if stream is not None:
            if stream.provider_model:
                attributes["gen_ai.response.model"] = stream.provider_model
            if stream.first_at:
                attributes["gen_ai.response.time_to_first_chunk"] = stream.first_at - begun
            if stream.finished is not None:
                usage = stream.finished.usage
                attributes["gen_ai.response.finish_reasons"] = ending_words(stream.finished.reasons)
        if usage is not None:
            attributes["gen_ai.usage.input_tokens"] = usage.input_tokens
            attributes["gen_ai.usage.output_tokens"] = usage.output_tokens
        span.attributes |= attributes
        span.events += [_tried(one, self._tracer.clock_ns()) for one in order.context.tries]
        fine = reason in ("OK", "CANCELLED")
        self._tracer.end(span, error="" if reason == "OK" else reason, failed=not fine)


def _tried(one: provider_try.ProviderTry, at_ns: int) -> Event:
    """What the provider was asked in vain with one of its keys."""
    return Event(
        "provider.try",
        at_ns,
        {
            "hybrid.key.number": one.key,
            "error.type": _WHY.get(one.reason, "UNSPECIFIED"),
            "http.response.status_code": one.http_status,
            "hybrid.seconds": to_seconds(one.duration),
        },
    )
