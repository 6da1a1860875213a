"""The typed face: its services as Envoy's transcoder offers them below /api/."""

import itertools
from collections.abc import Iterator
from typing import Any, cast

from google.api import annotations_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from hybridinference.gateway.v1 import inference_service_pb2, overview_service_pb2
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis import register, status
from services.chassis.failure import Failure
from services.gateway.openapi import http
from services.gateway.openapi.comments import Comments
from services.gateway.openapi.messages import COMPONENTS, Messages

Node = dict[str, Any]

SERVICE = inference_service_pb2.DESCRIPTOR.services_by_name["InferenceService"]
SERVICES = (SERVICE, overview_service_pb2.DESCRIPTOR.services_by_name["OverviewService"])

_FAILURES = [Failure(cast("reasons.ErrorReason", reason), "") for reason in reasons.ErrorReason.values()]
_STATUS = "google.rpc.Status"


def paths(messages: Messages, comments: Comments) -> dict[str, Node]:
    """The paths of the face, each with its operation."""
    found: dict[str, Node] = {}
    for method in itertools.chain.from_iterable(service.methods for service in SERVICES):
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        verb = rule.WhichOneof("pattern")
        found.setdefault(getattr(rule, verb), {})[verb] = _operation(method, messages, comments)
    return found


def responses() -> dict[str, Node]:
    """Responses to failures, by name."""
    said: dict[int, list[str]] = {code: [] for code in register.EDGE}
    for failure in _FAILURES:
        said.setdefault(register.BARE[status.code_of(failure)].http, []).append(failure.reason_name)
    for code, row in register.EDGE.items():
        name = Failure(row.reason, "").reason_name
        if row.reason and name not in said[code]:
            said[code].append(name)
    told = {code: http.failure(code, words, {"$ref": COMPONENTS + _STATUS}) for code, words in said.items()}
    for code, row in register.EDGE.items():
        if row.grpc is None:
            told[code] = http.failure(code, [row.code], {"$ref": COMPONENTS + "Error"})
    return {_name(code): told[code] for code in sorted(told)}


def schemas() -> dict[str, Node]:
    """The schema of a failure."""
    delay = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?s$", "description": "How long to wait, such as 1.5s."}
    return {
        _STATUS: {
            "type": "object",
            "description": "A failure. Its details hold google.rpc.ErrorInfo and, where waiting helps, RetryInfo.",
            "required": ["code", "message", "details"],
            "properties": {
                "code": {"type": "integer", "minimum": 1, "maximum": 16, "description": "The google.rpc.Code."},
                "message": {"type": "string", "description": "For people."},
                "details": {
                    "type": "array",
                    "items": {
                        "oneOf": [
                            {"$ref": COMPONENTS + "google.rpc.ErrorInfo"},
                            {"$ref": COMPONENTS + "google.rpc.RetryInfo"},
                        ]
                    },
                },
            },
        },
        "google.rpc.ErrorInfo": {
            "type": "object",
            "description": "For programs: docs/errors.md lists the reasons, and their register the keys of metadata.",
            "required": ["@type", "reason", "domain", "metadata"],
            "properties": {
                "@type": {"const": "type.googleapis.com/google.rpc.ErrorInfo"},
                "reason": {
                    "type": "string",
                    "enum": [failure.reason_name for failure in _FAILURES],
                },
                "domain": {"const": status.DOMAIN},
                "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
        "google.rpc.RetryInfo": {
            "type": "object",
            "description": "When another try may help.",
            "required": ["@type", "retry_delay"],
            "properties": {
                "@type": {"const": "type.googleapis.com/google.rpc.RetryInfo"},
                "retry_delay": delay,
            },
        },
    }


def _operation(method: MethodDescriptor, messages: Messages, comments: Comments) -> Node:
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    said = comments.of(method.full_name)
    service = method.containing_service
    operation: Node = {
        "operationId": f"{service.name}_{method.name}",
        "tags": [service.name],
        "summary": said,
    }
    if rule.body:
        operation["parameters"] = [http.TIMEOUT, *http.named(method)]
        operation["requestBody"] = http.body(operation["operationId"], messages.asked(method.input_type))
    else:
        operation["parameters"] = list(_query(method.input_type, messages, comments))
    answered = messages.answered(method.output_type)
    content = {http.EVENTS: http.events(answered)} if method.server_streaming else {http.JSON: answered}
    failing = {name.rpartition(".")[2]: {"$ref": f"#/components/responses/{name}"} for name in responses()}
    operation["responses"] = {"200": http.answer(comments.of(method.output_type.full_name), content), **failing}
    return operation


def _query(message: Descriptor, messages: Messages, comments: Comments) -> Iterator[Node]:
    for field in message.fields:
        yield {
            "name": field.name,
            "in": "query",
            "required": False,
            "description": comments.of(field.full_name),
            "schema": messages.parameter(field),
        }


def _name(code: int) -> str:
    return f"{SERVICE.name}.{code}"
