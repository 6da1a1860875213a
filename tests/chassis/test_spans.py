"""Spans, and how they reach a collector."""

import itertools
import pathlib
from collections.abc import Iterator

import pytest
import structlog
from prometheus_client import CollectorRegistry

from services.chassis import traceparent
from services.chassis.otlp import Sender
from services.chassis.spans import Event, Kind, Span, Tracer
from services.chassis.tracing import open_tracing
from services.config.tracing import Tracing
from tests.collector import Collector, collector

TRACE, ROOT = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"
CONTEXT = f"00-{TRACE}-{ROOT}-01"
# Nothing listens there: the port is reserved.
NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def spans() -> Iterator[Collector]:
    """A collector."""
    with collector() as made:
        yield made


def tracer(ended: list[Span]) -> Tracer:
    """A tracer whose ids and times count up."""
    numbers, times = itertools.count(1), itertools.count(1000)
    return Tracer(ended.append, randomness=lambda size: next(numbers).to_bytes(size), clock_ns=lambda: next(times))


def test_a_span_stands_below_its_parent_in_the_same_trace() -> None:
    ended: list[Span] = []
    made = tracer(ended)
    root = made.root("a", Kind.SERVER, CONTEXT)
    below = made.below(root.traceparent, "b", Kind.CLIENT, links=(CONTEXT,))
    made.end(below, error="WORKER_LOST")
    made.end(root)
    assert [span.name for span in ended] == ["b", "a"]
    assert (root.parent, traceparent.span_id(root.traceparent)) == ("", ROOT)
    assert (below.parent, below.traceparent) == (ROOT, f"00-{TRACE}-{1:016x}-01")
    assert (below.began_ns, below.ended_ns, below.failed) == (1001, 1002, True)
    assert below.attributes == {"error.type": "WORKER_LOST"}
    assert not root.failed


def test_a_span_ends_once_and_what_is_nobody_s_fault_is_no_failure() -> None:
    ended: list[Span] = []
    made = tracer(ended)
    span = made.below(CONTEXT, "a", Kind.SERVER)
    made.end(span, error="CANCELLED", failed=False)
    made.end(span, error="WORKER_LOST")
    (only,) = ended
    assert (only.attributes["error.type"], only.failed) == ("CANCELLED", False)


async def test_without_a_collector_there_is_no_tracer() -> None:
    async with open_tracing(None, role="gateway", process="gateway", registry=CollectorRegistry()) as made:
        assert made is None


async def test_all_of_a_span_arrives_and_leaving_sends_what_is_left(spans: Collector) -> None:
    registry = CollectorRegistry()
    config = Tracing(endpoint=spans.endpoint)
    async with open_tracing(config, role="gateway", process="gateway-2", registry=registry) as made:
        assert made is not None
        span = made.below(CONTEXT, "chat m", Kind.SERVER, links=(CONTEXT,))
        span.attributes |= {"text": "a", "flag": True, "count": 3, "part": 0.5, "several": ["stop", "length"]}
        span.events.append(Event("waiting", made.clock_ns(), {"hybrid.ahead": 2}))
        made.end(span, error="WORKER_LOST")
    (arrived,) = spans.spans
    assert (arrived.service, arrived.instance) == ("hybridinference-gateway", "gateway-2")
    assert (arrived.name, arrived.kind, arrived.trace, arrived.parent) == ("chat m", "SERVER", TRACE, ROOT)
    assert arrived.id == traceparent.span_id(span.traceparent)
    assert (arrived.links, arrived.events, arrived.failed) == ((ROOT,), ("waiting",), True)
    assert arrived.attributes == span.attributes
    assert registry.get_sample_value("hybrid_trace_spans_total", {"result": "sent"}) == 1


def ended(count: int) -> list[Span]:
    """Spans that are over."""
    made: list[Span] = []
    source = tracer(made)
    for _ in range(count):
        source.end(source.below(CONTEXT, "a", Kind.SERVER))
    return made


def test_a_collector_that_refuses_is_told_of_once_and_counted(spans: Collector) -> None:
    registry = CollectorRegistry()
    spans.refusing = True
    with structlog.testing.capture_logs() as logs:
        sender = Sender(spans.endpoint, ca=None, resource={}, registry=registry, most_waiting=10)
        for span in ended(3):
            sender.emit(span)
            wanted = spans.exports + 1
            spans.wait(lambda _, wanted=wanted: spans.exports >= wanted)  # type: ignore[misc]
        spans.refusing = False
        for span in ended(1):
            sender.emit(span)
        sender.close(seconds=60)
    assert [line["event"] for line in logs] == ["traces.lost", "traces.sent_again"]
    assert registry.get_sample_value("hybrid_trace_spans_total", {"result": "failed"}) == 3
    assert registry.get_sample_value("hybrid_trace_spans_total", {"result": "sent"}) == 1


def test_what_nobody_takes_is_dropped_beyond_a_bound_and_a_stop_does_not_wait_for_it() -> None:
    registry = CollectorRegistry()
    sender = Sender(NOBODY, ca=None, resource={}, registry=registry, most_waiting=10)
    for span in ended(100):
        sender.emit(span)
    sender.close(seconds=0.1)
    counted = {
        result: registry.get_sample_value("hybrid_trace_spans_total", {"result": result})
        for result in ("dropped", "failed", "sent")
    }
    assert counted["sent"] is None or counted["sent"] == 0
    assert counted["dropped"] is not None
    assert counted["dropped"] >= 80, counted


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"endpoint": "127.0.0.1:4317"}, "is not http://HOST:PORT"),
        ({"endpoint": "http://host:4318/v1/traces"}, "is not http://HOST:PORT"),
        ({"endpoint": "http://host:70000"}, "is not http://HOST:PORT"),
        ({"endpoint": "https://host:4317"}, "https needs `ca`"),
        ({"endpoint": "http://host:4317", "ca": "x.pem"}, "`ca` is for https"),
        ({"endpoint": "http://host:4317", "share": 1.5}, "less than or equal to 1"),
    ],
)
def test_a_collector_that_cannot_be_is_refused_with_what_to_do(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Tracing.model_validate(wrong)


def test_a_collector_s_address_is_read_from_its_endpoint() -> None:
    found = Tracing(endpoint="https://[::1]:4317/", ca="x.pem")
    assert (found.endpoint, found.host, found.port, found.secure) == ("https://[::1]:4317", "::1", 4317, True)


async def test_authorities_that_cannot_be_read_are_told_of(tmp_path: pathlib.Path) -> None:
    config = Tracing(endpoint="https://localhost:4317", ca=str(tmp_path / "none.pem"))
    with pytest.raises(OSError, match=r"none\.pem"):
        async with open_tracing(config, role="gateway", process="gateway", registry=CollectorRegistry()):
            pass
