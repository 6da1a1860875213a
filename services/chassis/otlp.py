"""Sending spans to a collector by OTLP over gRPC. Imported by processes that do, and by no other."""

import logging
import threading
from collections.abc import Sequence

import grpc
import structlog
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from prometheus_client import CollectorRegistry, Counter

from services.chassis import declared
from services.chassis import traceparent as w3c
from services.chassis.spans import Kind, Span

LOG = structlog.get_logger()

SPANS = declared.Counter(
    "hybrid_trace_spans_total",
    "Spans of this process by what became of them; dropped where too many waited for the collector.",
    (declared.one_of("result", ("sent", "failed", "dropped")),),
)

_KINDS = {Kind.SERVER: SpanKind.SERVER, Kind.CLIENT: SpanKind.CLIENT}
_SCOPE = InstrumentationScope("hybridinference")
_FINE, _FAILED = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)

# About 10 MB; beyond that spans are dropped rather than kept for a collector that does not take them.
_MOST_WAITING = 8192
# What is sent at once is encoded at once, in a thread: more of it would hold up the others for more than 2 ms.
_BATCH = 128
_DELAY_MS = 1000.0
# The environment has no say.
_CHANNEL = (("grpc.enable_http_proxy", 0),)
# How long one batch is tried.
_EXPORT_SECONDS = 5.0


class Sender:
    """Sends spans in a thread of its own, a batch at a time. Whoever hands one over never waits."""

    def __init__(
        self,
        endpoint: str,
        *,
        ca: bytes | None,
        resource: dict[str, str],
        registry: CollectorRegistry,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        """To `http://HOST:PORT`, or by TLS to https where `ca` has the PEM of who signs. `resource` says who we are."""
        # It has a line for each batch that fails, with a traceback where it is strange; ours are fewer.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        spans = SPANS.on(registry)
        self._dropped = spans.labels("dropped")
        self._resource = Resource.create(resource)
        exporter = OTLPSpanExporter(
            endpoint=endpoint,
            insecure=ca is None,
            credentials=None if ca is None else grpc.ssl_channel_credentials(ca),
            timeout=_EXPORT_SECONDS,
            channel_options=_CHANNEL,  # type: ignore[arg-type]  # its types know options of text only
        )
        self._counting = _Counting(exporter, endpoint, spans)
        self._processor = BatchSpanProcessor(
            self._counting,
            # More than we let wait, since it says nothing of what it drops.
            max_queue_size=most_waiting + 1,
            max_export_batch_size=min(_BATCH, most_waiting),
            schedule_delay_millis=_DELAY_MS,
        )
        self._most_waiting = most_waiting
        self._handed = 0

    def emit(self, span: Span) -> None:
        """Send a span that has ended, some time; or drop it."""
        if self._handed - self._counting.taken >= self._most_waiting:
            self._dropped.inc()
            return
        self._handed += 1
        self._processor.on_end(self._readable(span))

    def close(self, *, seconds: float) -> None:
        """Send what waits, for so long at most. Blocks."""
        # The processor itself would go on for half a minute, and batch by batch.
        giving_up = threading.Timer(seconds, self._counting.shutdown)
        giving_up.start()
        try:
            self._processor.shutdown()  # type: ignore[no-untyped-call]
        finally:
            giving_up.cancel()

    def _readable(self, span: Span) -> sdk.ReadableSpan:
        """The span in OpenTelemetry's words. Its ids are ours: they travelled before it was over."""
        return sdk.ReadableSpan(
            name=span.name,
            context=_context(span.traceparent),
            parent=SpanContext(int(span.traceparent[3:35], 16), int(span.parent, 16), True) if span.parent else None,
            resource=self._resource,
            attributes=span.attributes,
            events=[sdk.Event(event.name, event.attributes, event.at_ns) for event in span.events],
            links=[Link(_context(link)) for link in span.links],
            kind=_KINDS[span.kind],
            status=_FAILED if span.failed else _FINE,
            start_time=span.began_ns,
            end_time=span.ended_ns,
            instrumentation_scope=_SCOPE,
        )


class _Counting(SpanExporter):
    """Counts what is sent, and says once that the collector is lost and once that it is back."""

    def __init__(self, exporter: SpanExporter, endpoint: str, spans: Counter) -> None:
        self.taken = 0
        self._exporter = exporter
        self._endpoint = endpoint
        self._sent, self._failed = spans.labels("sent"), spans.labels("failed")
        self._lost = False
        self._closed = threading.Lock()

    def export(self, spans: Sequence[sdk.ReadableSpan]) -> SpanExportResult:
        """In the processor's thread."""
        self.taken += len(spans)
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._sent.inc(len(spans))
            if self._lost:
                LOG.info("traces.sent_again", endpoint=self._endpoint)
        else:
            self._failed.inc(len(spans))
            if not self._lost:
                LOG.warning("traces.lost", endpoint=self._endpoint, spans=len(spans))
        self._lost = result is not SpanExportResult.SUCCESS
        return result

    def shutdown(self) -> None:
        """Whoever comes second finds it done."""
        if self._closed.acquire(blocking=False):
            self._exporter.shutdown()


def _context(traceparent: str) -> SpanContext:
    return SpanContext(int(w3c.trace_id(traceparent), 16), int(w3c.span_id(traceparent), 16), True, _SAMPLED)
