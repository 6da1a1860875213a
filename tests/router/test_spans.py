"""The spans of a router's placements."""

import itertools

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.router.v1 import placement_pb2 as placement
from hybridinference.router.v1 import router_service_pb2 as router

from services.chassis.failure import Failure
from services.chassis.spans import Span, Tracer
from services.router.decider import Refused
from services.router.leases import GatewayStream
from services.router.spans import PlacementSpans

PARENT = "00f067aa0ba902b7"
KEPT = f"00-0af7651916cd43dd8448eb211c80319c-{PARENT}-01"


def spans(ended: list[Span]) -> PlacementSpans:
    numbers, times = itertools.count(1), itertools.count()
    tracer = Tracer(ended.append, randomness=lambda size: next(numbers).to_bytes(size), clock_ns=lambda: next(times))
    return PlacementSpans(tracer)


def ask(context: str = KEPT) -> router.PlaceCommand:
    return router.PlaceCommand(ask=placement.PlacementAsk(generation_id="g", traceparent=context))


def placed() -> placement.Placement:
    return placement.Placement(generation_id="g", attempt_id="a", number=1, worker="w", strategy="cost")


def test_a_question_that_is_answered_at_once_has_a_span_below_its_request() -> None:
    ended: list[Span] = []
    made, stream = spans(ended), GatewayStream("gateway")
    made.answered(stream, made.asked(stream, ask()), placed())
    (span,) = ended
    assert (span.name, span.parent, span.attributes["hybrid.worker"], span.attributes["hybrid.strategy"]) == (
        "place",
        PARENT,
        "w",
        "cost",
    )


def test_one_that_waits_has_one_span_until_it_is_answered() -> None:
    ended: list[Span] = []
    made, stream = spans(ended), GatewayStream("gateway")
    made.answered(stream, made.asked(stream, ask()), placement.Waiting(generation_id="g", ahead=2))
    assert not ended
    made.released(stream, placed())
    (span,) = ended
    assert [(event.name, event.attributes) for event in span.events] == [("waiting", {"hybrid.ahead": 2})]
    made.released(stream, placed())
    assert len(ended) == 1


def test_one_that_is_withdrawn_or_whose_gateway_is_gone_ends_as_nobody_s_fault() -> None:
    ended: list[Span] = []
    made, stream = spans(ended), GatewayStream("gateway")
    withdrawal = router.PlaceCommand(withdrawal=router.Withdrawal(generation_id="g"))
    for _ in range(2):
        made.answered(stream, made.asked(stream, ask()), placement.Waiting(generation_id="g"))
        made.answered(stream, made.asked(stream, withdrawal), None)
        made.ended(stream)
    made.answered(stream, made.asked(stream, ask()), placement.Waiting(generation_id="g"))
    made.ended(stream)
    assert [(span.attributes["error.type"], span.failed) for span in ended] == [("CANCELLED", False)] * 3


def test_a_refusal_is_a_failure_unless_an_attempt_goes_on() -> None:
    ended: list[Span] = []
    made, stream = spans(ended), GatewayStream("gateway")
    cause = Failure(reasons.ERROR_REASON_FLEET_SATURATED, "")
    for attempt_id in ("", "a"):
        made.answered(stream, made.asked(stream, ask()), Refused("g", cause, attempt_id=attempt_id))
    assert [(span.attributes["error.type"], span.failed) for span in ended] == [
        ("FLEET_SATURATED", True),
        ("FLEET_SATURATED", False),
    ]


def test_a_trace_that_is_not_kept_and_a_command_that_asks_nothing_have_no_span() -> None:
    made, stream = spans([]), GatewayStream("gateway")
    assert made.asked(stream, ask("")) is None
    assert made.asked(stream, ask(f"{KEPT[:-1]}0")) is None
    assert made.asked(stream, router.PlaceCommand(first_content=placement.FirstContent(attempt_id="a"))) is None
    assert (
        made.asked(stream, router.PlaceCommand(outcome=placement.AttemptOutcome(attempt_id="a", wanted=True))) is None
    )
