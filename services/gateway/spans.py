"""The spans of a gateway: one for each request, and below it one for each attempt at it."""

from typing import Any

from google.protobuf import timestamp_pb2
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis import traceparent as w3c
from services.chassis.failure import Failure
from services.chassis.spans import Kind, Span, Tracer, Value
from services.gateway.call import Call
from services.gateway.outcome import outcome_word
from services.inference import labels
from services.inference.endings import ending_words

# The caller's own doing, or its wish: nobody is to be woken for it.
_NOBODYS_FAULT = ("CANCELLED",)


class Spans:
    """Makes the spans of requests whose traces are kept."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def request(self, call: Call[Any], model: str, received_at: float) -> "RequestSpans | None":
        """Those of a request that was received at that time, seconds since 1970; None where its trace is not kept.

        `model` is the own name of a configured one, never what a caller made up.
        """
        if not w3c.sampled(call.traceparent):
            return None
        operation = labels.OPERATIONS[call.operation]
        name = f"{operation} {model}"
        if call.begins_trace:
            span = self._tracer.root(name, Kind.SERVER, call.traceparent)
        else:
            span = self._tracer.below(call.traceparent, name, Kind.SERVER)
        span.began_ns = int(received_at * 1e9)
        span.attributes |= {
            "gen_ai.operation.name": operation,
            "gen_ai.request.model": model,
            "gen_ai.request.stream": call.streamed,
            "hybrid.api": call.api,
        }
        return RequestSpans(self._tracer, span)

    def refused(self, call: Call[Any], model: str, received_at: float, failure: Failure) -> None:
        """A request was refused before it was accepted."""
        spans = self.request(call, model, received_at)
        if spans is not None:
            spans.refused(failure)


class RequestSpans:
    """The spans of one request."""

    __slots__ = ("_attempts", "_span", "_tracer")

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        self._attempts: dict[str, Span] = {}

    @property
    def traceparent(self) -> str:
        """What stands for the request at others."""
        return self._span.traceparent

    def of_attempt(self, attempt_id: str) -> str:
        """What stands for one of its attempts at others."""
        return self._attempts[attempt_id].traceparent

    def attempt_begins(self, attempt: ledger.AttemptRecord) -> None:
        """Another attempt has been placed. It stands beside those before, and is linked to the one that it follows."""
        before = self._attempts.get(attempt.follows)
        links = () if before is None else (before.traceparent,)
        span = self._tracer.below(self.traceparent, f"attempt {attempt.worker}", Kind.CLIENT, links=links)
        span.attributes |= {
            "hybrid.attempt.id": attempt.attempt_id,
            "hybrid.attempt.number": attempt.number,
            "hybrid.attempt.kind": attempt.kind or "first",
            "hybrid.worker": attempt.worker,
            "hybrid.provider": attempt.provider,
            "hybrid.strategy": attempt.strategy,
            "gen_ai.request.model": attempt.provider_model,
        }
        self._attempts[attempt.attempt_id] = span

    def attempt_ended(self, attempt: ledger.AttemptRecord) -> None:
        """An attempt has ended, as its record says."""
        span = self._attempts[attempt.attempt_id]
        span.attributes |= _usage(attempt.usage)
        span.attributes["hybrid.outcome"] = outcome_word(attempt.outcome)
        span.attributes["hybrid.cost_nano_usd"] = attempt.cost_nano_usd
        self._end(span, attempt.error_reason)

    def ended(self, request: ledger.RequestRecord, *, attempts: int) -> None:
        """The request has ended, as its record says, after so many attempts."""
        attributes = self._span.attributes
        attributes |= _usage(request.usage)
        attributes |= {
            "gen_ai.response.id": request.generation_id,
            "hybrid.outcome": outcome_word(request.outcome),
            "hybrid.attempts": attempts,
            "hybrid.cost_nano_usd": request.cost_nano_usd,
        }
        if request.provider_model:
            attributes["gen_ai.response.model"] = request.provider_model
        if request.finish_reasons:
            attributes["gen_ai.response.finish_reasons"] = ending_words(request.finish_reasons)
        if request.HasField("first_content_at"):
            waited = _seconds(request.first_content_at) - _seconds(request.received_at)
            attributes["gen_ai.response.time_to_first_chunk"] = waited
        self._end(self._span, request.error_reason)

    def refused(self, failure: Failure) -> None:
        """The request was never accepted."""
        self._span.attributes["hybrid.outcome"] = "refused"
        self._end(self._span, failure.reason_name)

    def _end(self, span: Span, reason: str) -> None:
        self._tracer.end(span, error=reason, failed=bool(reason) and reason not in _NOBODYS_FAULT)


def _usage(usage: generation.Usage) -> dict[str, Value]:
    found: dict[str, Value] = {}
    if usage.input_tokens or usage.output_tokens:
        found |= {"gen_ai.usage.input_tokens": usage.input_tokens, "gen_ai.usage.output_tokens": usage.output_tokens}
    if usage.cached_tokens:
        found["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
    if usage.reasoning_tokens:
        found["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning_tokens
    return found


def _seconds(at: timestamp_pb2.Timestamp) -> float:
    return at.seconds + at.nanos / 1e9
