"""What is counted of the calls that a process serves."""

from typing import Any

import grpc
from google.protobuf import descriptor_pool
from prometheus_client import CollectorRegistry

from services.chassis import declared
from services.chassis.children import Children

# By whether requests and responses are streams.
_TYPES = {
    (False, False): "unary",
    (True, False): "client_stream",
    (False, True): "server_stream",
    (True, True): "bidi_stream",
}
# As Go writes them.
CODE_NAMES = {code.value[0]: code.name.title().replace("_", "") for code in grpc.StatusCode} | {0: "OK"}

_METHOD = (
    declared.one_of("grpc_type", _TYPES.values()),
    declared.Label("grpc_service", "a service of the contracts, or of gRPC's own"),
    declared.Label("grpc_method", "one of its methods"),
)
STARTED = declared.Counter("grpc_server_started_total", "Calls begun.", _METHOD)
HANDLED = declared.Counter(
    "grpc_server_handled_total",
    "Calls ended, by status code.",
    (*_METHOD, declared.one_of("grpc_code", CODE_NAMES.values(), "a status code as Go writes it, such as `NotFound`")),
)
SECONDS = declared.Histogram("grpc_server_handling_seconds", "Duration of calls.", _METHOD)


class RpcMetrics:
    """The names that most gRPC dashboards expect (go-grpc-prometheus)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.started = Children(STARTED.on(registry))
        self.handled = Children(HANDLED.on(registry))
        self.seconds = Children(SECONDS.on(registry))


class Method:
    """A method as a call has it, `/package.Service/Method`, and what it is in labels."""

    __slots__ = ("labels", "path")

    def __init__(self, path: str, handler: Any) -> None:
        service, _, name = path.removeprefix("/").partition("/")
        try:  # what refuses a call in place of its handler need not have the handler's type
            found = descriptor_pool.Default().FindMethodByName(f"{service}.{name}")
            kind = _TYPES[found.client_streaming, found.server_streaming]
        except KeyError:
            kind = _TYPES[handler.request_streaming, handler.response_streaming]
        self.path = path
        self.labels = (kind, service, name)
