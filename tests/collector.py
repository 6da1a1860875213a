"""A collector of spans: a real server of OTLP over gRPC, in a thread of its own."""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service_grpc
from opentelemetry.proto.common.v1 import common_pb2 as common
from opentelemetry.proto.trace.v1 import trace_pb2 as trace


@dataclasses.dataclass(frozen=True, slots=True)
class Received:
    """A span as it arrived. Ids are hexadecimal digits; `parent` is empty where the trace begins with it."""

    service: str
    instance: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    links: tuple[str, ...]
    events: tuple[str, ...]
    failed: bool
    seconds: float
    raw: bytes


class Collector:
    """The spans that have arrived."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.refusing = False
        self.exports = 0
        self._spans: list[Received] = []
        self._changed = threading.Condition()

    @property
    def spans(self) -> list[Received]:
        """All of them."""
        with self._changed:
            return list(self._spans)

    def of(self, trace_id: str) -> list[Received]:
        """Those of one trace."""
        return [span for span in self.spans if span.trace == trace_id]

    def wait(self, enough: Callable[[list[Received]], bool], *, seconds: float = 60.0) -> list[Received]:
        """All spans, once they are enough."""
        with self._changed:
            assert self._changed.wait_for(lambda: enough(self._spans), timeout=seconds), "\n".join(
                f"{span.service} {span.name} {span.trace} {span.parent}->{span.id}" for span in self._spans
            )
            return list(self._spans)

    def Export(self, request: service.ExportTraceServiceRequest, context: grpc.ServicerContext) -> Any:
        """The one method of the service."""
        with self._changed:
            self.exports += 1
            self._changed.notify_all()
            if self.refusing:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not now")
            for resource in request.resource_spans:
                who = _plain(resource.resource.attributes)
                for scope in resource.scope_spans:
                    self._spans += [_received(who, span) for span in scope.spans]
        return service.ExportTraceServiceResponse()


@contextlib.contextmanager
def collector() -> Iterator[Collector]:
    """A collector that listens, at `endpoint`."""
    made = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    service_grpc.add_TraceServiceServicer_to_server(made, server)  # type: ignore[no-untyped-call]
    made.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield made
    finally:
        server.stop(None).wait()


def _received(who: dict[str, Any], span: trace.Span) -> Received:
    return Received(
        service=str(who.get("service.name")),
        instance=str(who.get("service.instance.id")),
        name=span.name,
        kind=trace.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        attributes=_plain(span.attributes),
        links=tuple(link.span_id.hex() for link in span.links),
        events=tuple(event.name for event in span.events),
        failed=span.status.code == trace.Status.STATUS_CODE_ERROR,
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        raw=span.SerializeToString(),
    )


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in attributes}


def _value(value: common.AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return None if kind is None else getattr(value, kind)
