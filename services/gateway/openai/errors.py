"""Failures in OpenAI's words: one table says which HTTP status, type and code each reason has."""

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any

import orjson
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure

# reason -> (HTTP status, OpenAI `type`, OpenAI `code`).
# The status is what Envoy makes of the reason's gRPC code, so that both faces agree, with these exceptions: 413, which
# gRPC has no code for; 502, where a provider and not the mesh is at fault; 408, where a client does not read.
# What Envoy and its Lua filter answer by themselves (infrastructure/envoy) uses the same words.
TABLE: dict[int, tuple[int, str, str]] = {
    reasons.ERROR_REASON_UNSPECIFIED: (500, "server_error", "internal_error"),
    reasons.ERROR_REASON_SPEC_INVALID: (400, "invalid_request_error", "invalid_request"),
    reasons.ERROR_REASON_UNSUPPORTED: (400, "invalid_request_error", "unsupported_parameter"),
    reasons.ERROR_REASON_CONTEXT_TOO_LONG: (400, "invalid_request_error", "context_length_exceeded"),
    reasons.ERROR_REASON_REQUEST_TOO_LARGE: (413, "invalid_request_error", "request_too_large"),
    reasons.ERROR_REASON_CREDENTIAL_INVALID: (401, "authentication_error", "invalid_api_key"),
    reasons.ERROR_REASON_PERMISSION_DENIED: (403, "permission_error", "permission_denied"),
    reasons.ERROR_REASON_RATE_LIMITED: (429, "rate_limit_error", "rate_limit_exceeded"),
    reasons.ERROR_REASON_QUOTA_EXHAUSTED: (429, "insufficient_quota", "insufficient_quota"),
    reasons.ERROR_REASON_MODEL_NOT_FOUND: (404, "invalid_request_error", "model_not_found"),
    reasons.ERROR_REASON_NO_HEALTHY_WORKER: (503, "service_unavailable_error", "service_unavailable"),
    reasons.ERROR_REASON_FLEET_SATURATED: (429, "rate_limit_error", "slow_down"),
    reasons.ERROR_REASON_WORKER_SATURATED: (429, "rate_limit_error", "slow_down"),
    reasons.ERROR_REASON_WORKER_DRAINING: (503, "service_unavailable_error", "service_unavailable"),
    reasons.ERROR_REASON_WORKER_LOADING: (503, "service_unavailable_error", "service_unavailable"),
    reasons.ERROR_REASON_WORKER_LOST: (503, "service_unavailable_error", "service_unavailable"),
    reasons.ERROR_REASON_STREAM_INTERRUPTED: (503, "service_unavailable_error", "stream_interrupted"),
    reasons.ERROR_REASON_TRUNCATED: (502, "server_error", "truncated"),
    reasons.ERROR_REASON_PROVIDER_UNAVAILABLE: (503, "service_unavailable_error", "provider_unavailable"),
    reasons.ERROR_REASON_PROVIDER_OVERLOADED: (503, "service_unavailable_error", "server_is_overloaded"),
    reasons.ERROR_REASON_PROVIDER_RATE_LIMITED: (429, "rate_limit_error", "rate_limit_exceeded"),
    reasons.ERROR_REASON_PROVIDER_CREDENTIAL: (503, "service_unavailable_error", "provider_unavailable"),
    reasons.ERROR_REASON_PROVIDER_REJECTED: (400, "invalid_request_error", "provider_rejected"),
    reasons.ERROR_REASON_CONTENT_POLICY: (400, "invalid_request_error", "content_policy_violation"),
    reasons.ERROR_REASON_PROVIDER_MALFORMED: (502, "server_error", "provider_malformed"),
    reasons.ERROR_REASON_ENGINE_FAILED: (500, "server_error", "engine_error"),
    reasons.ERROR_REASON_DEADLINE_EXCEEDED: (504, "timeout_error", "timeout"),
    reasons.ERROR_REASON_CANCELLED: (499, "server_error", "cancelled"),
    reasons.ERROR_REASON_SLOW_CONSUMER: (408, "timeout_error", "slow_consumer"),
    reasons.ERROR_REASON_ROUTER_UNAVAILABLE: (503, "service_unavailable_error", "service_unavailable"),
    reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE: (503, "service_unavailable_error", "service_unavailable"),
    reasons.ERROR_REASON_INTERNAL: (500, "server_error", "internal_error"),
    reasons.ERROR_REASON_UNIMPLEMENTED: (501, "invalid_request_error", "unimplemented"),
}

# A client told to come back later than this is as good as told never to.
_LONGEST_RETRY_AFTER_SECONDS = 86_400

# The spec's names of what OpenAI calls otherwise.
_PARAMS = {"choices": "n", "max_output_tokens": "max_completion_tokens", "logprobs.top": "top_logprobs"}
_NESTED = (
    (re.compile(r"^inputs\b"), "input"),
    (re.compile(r"^(messages\[\d+\])\.parts\b"), r"\1.content"),
    (re.compile(r"^(tools\[\d+\])\.(name|parameters)(_json)?$"), r"\1.function.\2"),
)


# What a caller calls a field of the spec.
ParamOf = Callable[[str], str]


def param_of(field: str) -> str:
    """What an OpenAI client calls it: `sampling.seed` is `seed`, `messages[0].parts[1]` is `messages[0].content[1]`."""
    for pattern, theirs in _NESTED:
        field = pattern.sub(theirs, field)
    return _PARAMS.get(field, field.removeprefix("sampling.").removeprefix("provider_options_json."))


@dataclasses.dataclass(frozen=True, slots=True)
class ErrorReply:
    """A failure before the first byte: the HTTP status, extra headers, and a JSON body."""

    http_status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def render(failure: Failure, param_of: ParamOf = param_of) -> ErrorReply:
    """The answer to a request that failed."""
    http_status = status(failure)
    headers: list[tuple[str, str]] = []
    # A 503 always says when to come back; where nobody knows, soon.
    seconds = 1.0 if failure.retry_after is None and http_status == 503 else failure.retry_after
    if seconds is not None:
        whole = max(1, math.ceil(min(seconds, _LONGEST_RETRY_AFTER_SECONDS)))
        headers.append(("retry-after", str(whole)))
    if failure.reason == reasons.ERROR_REASON_QUOTA_EXHAUSTED:
        headers.append(("x-should-retry", "false"))  # the SDKs would retry a 429
    return ErrorReply(http_status, tuple(headers), _body(failure, param_of))


def event(failure: Failure, param_of: ParamOf = param_of) -> bytes:
    """The event that ends a stream which failed after it had begun. SDKs raise on it; nothing else tells them."""
    return b"data: " + _body(failure, param_of) + b"\n\n"


def told(failure: Failure, param_of: ParamOf = param_of) -> dict[str, Any]:
    """The `error` object: a message, a type, a code, and the parameter at fault in the caller's words."""
    _, kind, code = _row(failure)
    field = failure.metadata.get("field", "")
    param = param_of(field)
    message = failure.message.replace(f"`{field}`", f"`{param}`") if field else failure.message
    error = {"message": message, "type": kind, "param": param or None, "code": code}
    # A lone surrogate in a vendor's text: telling the failure must not fail.
    return {key: value and value.encode("utf-8", "replace").decode() for key, value in error.items()}


def status(failure: Failure) -> int:
    """The HTTP status of a failure."""
    return _row(failure)[0]


def _row(failure: Failure) -> tuple[int, str, str]:
    return TABLE.get(failure.reason, TABLE[reasons.ERROR_REASON_UNSPECIFIED])


def _body(failure: Failure, param_of: ParamOf) -> bytes:
    return orjson.dumps({"error": told(failure, param_of)})
