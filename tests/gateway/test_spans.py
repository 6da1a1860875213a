"""The spans of requests and attempts, as a gateway makes them."""

import itertools

from google.protobuf import timestamp_pb2
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis import traceparent
from services.chassis.deadline import Deadline
from services.chassis.failure import Failure
from services.chassis.spans import Kind, Span, Tracer
from services.gateway.call import Call
from services.gateway.spans import RequestSpans, Spans

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"
KEPT = f"00-{TRACE}-{PARENT}-01"


def spans(ended: list[Span]) -> Spans:
    numbers = itertools.count(1)
    return Spans(Tracer(ended.append, randomness=lambda size: next(numbers).to_bytes(size), clock_ns=lambda: 7 * 10**9))


def call(context: str = KEPT, *, begins: bool = False) -> Call[generation.GenerationSpec]:
    return Call(
        spec=generation.GenerationSpec(model="asked for"),
        api="openai",
        streamed=True,
        deadline=Deadline(None),
        traceparent=context,
        begins_trace=begins,
    )


def request(ended: list[Span]) -> RequestSpans:
    made = spans(ended).request(call(), "m", 5.0)
    assert made is not None
    return made


def attempt(number: int, kind: str = "", *, follows: str = "") -> ledger.AttemptRecord:
    return ledger.AttemptRecord(
        attempt_id=f"a{number}",
        number=number,
        worker=f"w{number}",
        provider="p",
        provider_model="pm",
        strategy="adaptive",
        kind=kind,
        follows=follows,
    )


def test_a_trace_that_is_not_kept_has_no_spans() -> None:
    made = spans([])
    assert made.request(call(f"00-{TRACE}-{PARENT}-00"), "m", 5.0) is None
    assert made.request(call(""), "m", 5.0) is None
    made.refused(call(""), "m", 5.0, Failure(reasons.ERROR_REASON_SPEC_INVALID, ""))


def test_a_request_stands_below_its_caller_s_span_and_one_that_begins_the_trace_below_none() -> None:
    ended: list[Span] = []
    made = spans(ended)
    for begins in (False, True):
        below = made.request(call(begins=begins), "m", 5.0)
        assert below is not None
        below.ended(ledger.RequestRecord(), attempts=0)
    assert [(span.parent, traceparent.trace_id(span.traceparent)) for span in ended] == [(PARENT, TRACE), ("", TRACE)]
    assert ended[1].traceparent == KEPT, "what others were told it is"
    assert {(span.name, span.kind, span.began_ns, span.ended_ns) for span in ended} == {
        ("chat m", Kind.SERVER, 5 * 10**9, 7 * 10**9)
    }


def test_attempts_are_siblings_and_linked_to_what_they_follow() -> None:
    ended: list[Span] = []
    made = request(ended)
    records = [attempt(1), attempt(2, "retry", follows="a1"), attempt(3, "continuation", follows="a2")]
    for record in records:
        made.attempt_begins(record)
    assert len({made.of_attempt(record.attempt_id) for record in records} | {made.traceparent}) == 4
    for record, reason in zip(records, ("WORKER_LOST", "CANCELLED", ""), strict=True):
        record.error_reason = reason
        made.attempt_ended(record)
    assert {span.parent for span in ended} == {traceparent.span_id(made.traceparent)}
    assert [span.links for span in ended] == [(), (made.of_attempt("a1"),), (made.of_attempt("a2"),)]
    assert [span.attributes["hybrid.attempt.kind"] for span in ended] == ["first", "retry", "continuation"]
    assert [(span.attributes.get("error.type"), span.failed) for span in ended] == [
        ("WORKER_LOST", True),
        ("CANCELLED", False),
        (None, False),
    ]


def test_a_request_says_what_it_came_to_in_the_words_of_the_convention() -> None:
    ended: list[Span] = []
    record = ledger.RequestRecord(
        generation_id="g",
        provider_model="pm",
        outcome=ledger.OUTCOME_SUCCESS,
        finish_reasons=[generation.FINISH_REASON_STOP, generation.FINISH_REASON_LENGTH],
        usage=generation.Usage(input_tokens=7, output_tokens=3, cached_tokens=2, reasoning_tokens=1),
        received_at=timestamp_pb2.Timestamp(seconds=5),
        first_content_at=timestamp_pb2.Timestamp(seconds=5, nanos=500_000_000),
        cost_nano_usd=11,
    )
    request(ended).ended(record, attempts=2)
    assert ended[0].attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.request.stream": True,
        "gen_ai.response.id": "g",
        "gen_ai.response.model": "pm",
        "gen_ai.response.finish_reasons": ["stop", "length"],
        "gen_ai.response.time_to_first_chunk": 0.5,
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 2,
        "gen_ai.usage.reasoning.output_tokens": 1,
        "hybrid.api": "openai",
        "hybrid.outcome": "success",
        "hybrid.attempts": 2,
        "hybrid.cost_nano_usd": 11,
    }


def test_a_refused_request_has_a_span_with_the_reason() -> None:
    ended: list[Span] = []
    spans(ended).refused(call(), "other", 5.0, Failure(reasons.ERROR_REASON_RATE_LIMITED, "of the key k"))
    (span,) = ended
    assert (span.name, span.failed) == ("chat other", True)
    assert (span.attributes["error.type"], span.attributes["hybrid.outcome"]) == ("RATE_LIMITED", "refused")
