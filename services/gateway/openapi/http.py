"""What both faces have in common over HTTP: headers, errors by status, events of a stream."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import MethodDescriptor

from services.gateway import arrival, hints
from services.gateway.idempotency import naming
from services.gateway.idempotency.methods import METHODS
from services.gateway.openai import dropped
from services.gateway.openapi.examples import EXAMPLES
from services.gateway.quota.told import UNITS

Node = dict[str, Any]

JSON = "application/json"
EVENTS = "text/event-stream"

_TAG = hints.TAG.pattern
TIMEOUT = {
    "name": arrival.TIMEOUT,
    "in": "header",
    "required": False,
    "description": "How long the whole call may take, waiting included, in milliseconds. Past it: 504.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 10**12 - 1},
}
_NAME = {
    "name": naming.HEADER,
    "in": "header",
    "required": False,
    "description": (
        "A name for the request, of the caller's making: every try of it with this name shares one run and is charged "
        "once. Where the same name comes with another request: 400."
    ),
    "schema": {"type": "string", "pattern": f"^{naming.NAME.pattern}$"},
}
# What is said of the route, by the field that says the same over gRPC; see services.gateway.hints.
_SAID: Mapping[str, tuple[str, Node]] = {
    "session": (
        "A name for the conversation, which is then served where its earlier turns may still be cached.",
        {"type": "string", "minLength": 1, "maxLength": hints.MAX_SESSION_CHARACTERS},
    ),
    "tags": (
        "Tags that the route must have, all of them, with commas between.",
        {"type": "string", "pattern": f"^ *{_TAG} *(, *{_TAG} *){{0,{hints.MAX_TAGS - 1}}}$"},
    ),
    "max_cost_nano_usd": (
        "Most that the answer may cost, in US dollars, such as 0.25.",
        {"type": "string", "pattern": f"^{hints.USD.pattern}$"},
    ),
    "first_content_slo": (
        "Longest time to the first content that is any good, in milliseconds.",
        {"type": "integer", "minimum": 1, "maximum": hints.MAX_SLO_SECONDS * 1000},
    ),
    "criticality": (
        "Who gives way first where there is too much; at most as the key allows. Beyond it `critical-plus` is refused.",
        {"type": "string", "enum": list(hints.CRITICALITIES)},
    ),
    "worker": (
        "The worker to use and no other, where the configuration allows it.",
        {"type": "string", "pattern": f"^{hints.WORKER.pattern}$"},
    ),
}
ROUTING: Sequence[Node] = [
    {"name": hints.HEADERS[field], "in": "header", "required": False, "description": said, "schema": schema}
    for field, (said, schema) in _SAID.items()
]
_COUNT = {"type": "integer", "minimum": 0}
_LIMITS: Sequence[tuple[str, str, Node]] = (
    ("limit", "Most in a minute", _COUNT),
    ("remaining", "What is left of the minute, as far as is known", _COUNT),
    ("reset", "Time until the next minute, such as `1s`", {"type": "string", "pattern": "^([0-9]+m)?[0-9]+s$"}),
)
_HEADERS: Mapping[str, Node] = {
    "x-request-id": {
        "description": "Identifies the request in the edge's log and in the ledger.",
        "schema": {"type": "string"},
    },
    "traceparent": {
        "description": "The W3C trace context: the caller's own, or a new one.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"},
    },
    "openai-processing-ms": {"description": "Time until the first byte, in milliseconds.", "schema": _COUNT},
    "x-hybrid-provider": {
        "description": "The provider's name in the configuration.",
        "schema": {"type": "string"},
    },
    "x-hybrid-model": {"description": "The model's name at the provider.", "schema": {"type": "string"}},
    "x-hybrid-attempts": {"description": "How often it was tried.", "schema": {"type": "integer", "minimum": 1}},
    "x-hybrid-queue-ms": {
        "description": "Time from arrival to the placement that served, in milliseconds.",
        "schema": _COUNT,
    },
    "x-hybrid-cost-usd": {
        "description": "What it cost, all attempts together. Of a stream, a comment before its last event says so.",
        "schema": {"type": "string", "pattern": "^[0-9]+\\.[0-9]{9}$"},
    },
    "x-hybrid-worker": {
        "description": "The worker, where the configuration lets callers know it.",
        "schema": {"type": "string"},
    },
    dropped.HEADER: {
        "description": "Parameters that were left out, where the route of the model allows that.",
        "schema": {"type": "string"},
    },
    "idempotent-replayed": {
        "description": "Whether the answer is that of an earlier try with the same `Idempotency-Key`.",
        "schema": {"enum": ["true"]},
    },
    **{
        f"x-ratelimit-{what}-{unit}": {"description": f"{said}, where the key has a limit of {unit}.", "schema": schema}
        for unit in UNITS
        for what, said, schema in _LIMITS
    },
    "www-authenticate": {"description": "How to prove who calls: with a key.", "schema": {"const": "Bearer"}},
    "x-should-retry": {"description": "Whether another try can help at all.", "schema": {"enum": ["true", "false"]}},
    "retry-after": {
        "description": "Seconds after which another try may help.",
        "schema": {"type": "integer", "minimum": 1},
    },
}
# What an answer of the OpenAI face says beside its body: every one, and one that has reached a worker.
EVERY = ("traceparent", "openai-processing-ms")
LIMITS = tuple(name for name in _HEADERS if name.startswith("x-ratelimit-"))
SERVED = (*EVERY, "idempotent-replayed", *(name for name in _HEADERS if name.startswith("x-hybrid-")), *LIMITS)
_RETRIED = (429, 503)
_UNAUTHENTICATED = 401
# Of every operation. A mesh may do without keys, where only its own host can call.
SECURITY: Sequence[Node] = ({"key": []}, {})
SECURITY_SCHEMES: Node = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key, `hi_<id>_<secret>`."},
}


def named(method: MethodDescriptor) -> Sequence[Node]:
    """The header that names a request, where the method heeds it."""
    return [_NAME] if f"/{method.containing_service.full_name}/{method.name}" in METHODS else []


def headers() -> dict[str, Node]:
    """Descriptions of all headers, by name."""
    return dict(_HEADERS)


def body(operation: str, schema: Node) -> Node:
    """The request body of an operation."""
    examples = {name: {"value": value} for name, value in EXAMPLES.get(operation, {}).items()}
    content = {"schema": schema} | ({"examples": examples} if examples else {})
    return {"required": True, "content": {JSON: content}}


def answer(description: str, content: Mapping[str, Node], *names: str) -> Node:
    """A response with the content of each media type, and headers by name."""
    every = ("x-request-id", *names)
    return {
        "description": description,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in every},
        "content": {kind: {"schema": schema} for kind, schema in content.items()},
    }


def failure(status: int, words: Iterable[str], schema: Node, *names: str) -> Node:
    """A response to a failure; `words` are what programs know it by, `names` its further headers."""
    said = "One of " + ", ".join(f"`{word}`" for word in words) + "."
    more = ["retry-after"] if status in _RETRIED else ["www-authenticate"] if status == _UNAUTHENTICATED else []
    return answer(said, {JSON: schema}, *names, *more)


def events(item: Node, *, done: bool = False) -> Node:
    """One event of a stream, the data of which is JSON; `done` where OpenAI's last word ends the stream."""
    data: Node = {"type": "string", "contentMediaType": JSON, "contentSchema": item}
    return {
        "type": "object",
        "description": "One event of the stream.",
        "required": ["data"],
        "properties": {"data": {"anyOf": [{"const": "[DONE]"}, data]} if done else data},
    }
