"""The register of failures: what each is called in gRPC, in HTTP and in OpenAI's words."""

from typing import NamedTuple

from google.rpc import code_pb2
from hybridinference.inference.v1 import error_reason_pb2 as reasons

_REQUEST = "invalid_request_error"
_CREDENTIAL = "authentication_error"
_PERMISSION = "permission_error"
_QUOTA = "insufficient_quota"
_RATE = "rate_limit_error"
_SERVER = "server_error"
_UNAVAILABLE = "service_unavailable_error"
_TIMEOUT = "timeout_error"
_FINAL = True


class Row(NamedTuple):
    """How one failure is told.

    Attributes:
        grpc: the google.rpc.Code, which also decides the HTTP status of the typed API as JSON.
        http: the HTTP status of the OpenAI API.
        type: OpenAI's `type`.
        code: OpenAI's `code`.
        final: whether SDKs must be told not to try again, since they would at this status, in vain.
    """

    grpc: int
    http: int
    type: str
    code: str
    final: bool = False


# The HTTP status is what Envoy makes of the gRPC code, so that both faces agree, with these exceptions: 413, which gRPC
# has no code for; 502, where a provider and not the mesh is at fault; 408, where a client does not read.
# SDKs try again after 408, 409, 429 and every 5xx. That is in vain where a budget is gone; where an operator has to act
# first; where the caller's own time is over; where the caller did not read; and where there is no such thing. They are
# never told to try again where they would not: a generation costs money each time.
REASONS: dict[int, Row] = {
    reasons.ERROR_REASON_UNSPECIFIED: Row(code_pb2.INTERNAL, 500, _SERVER, "internal_error"),
    reasons.ERROR_REASON_SPEC_INVALID: Row(code_pb2.INVALID_ARGUMENT, 400, _REQUEST, "invalid_request"),
    reasons.ERROR_REASON_UNSUPPORTED: Row(code_pb2.INVALID_ARGUMENT, 400, _REQUEST, "unsupported_parameter"),
    reasons.ERROR_REASON_CONTEXT_TOO_LONG: Row(code_pb2.INVALID_ARGUMENT, 400, _REQUEST, "context_length_exceeded"),
    reasons.ERROR_REASON_REQUEST_TOO_LARGE: Row(code_pb2.RESOURCE_EXHAUSTED, 413, _REQUEST, "request_too_large"),
    reasons.ERROR_REASON_CREDENTIAL_INVALID: Row(code_pb2.UNAUTHENTICATED, 401, _CREDENTIAL, "invalid_api_key"),
    reasons.ERROR_REASON_PERMISSION_DENIED: Row(code_pb2.PERMISSION_DENIED, 403, _PERMISSION, "permission_denied"),
    reasons.ERROR_REASON_RATE_LIMITED: Row(code_pb2.RESOURCE_EXHAUSTED, 429, _RATE, "rate_limit_exceeded"),
    reasons.ERROR_REASON_QUOTA_EXHAUSTED: Row(code_pb2.RESOURCE_EXHAUSTED, 429, _QUOTA, _QUOTA, _FINAL),
    reasons.ERROR_REASON_MODEL_NOT_FOUND: Row(code_pb2.NOT_FOUND, 404, _REQUEST, "model_not_found"),
    reasons.ERROR_REASON_NO_HEALTHY_WORKER: Row(code_pb2.UNAVAILABLE, 503, _UNAVAILABLE, "service_unavailable"),
    reasons.ERROR_REASON_FLEET_SATURATED: Row(code_pb2.RESOURCE_EXHAUSTED, 429, _RATE, "slow_down"),
    reasons.ERROR_REASON_WORKER_SATURATED: Row(code_pb2.RESOURCE_EXHAUSTED, 429, _RATE, "slow_down"),
    reasons.ERROR_REASON_WORKER_DRAINING: Row(code_pb2.UNAVAILABLE, 503, _UNAVAILABLE, "service_unavailable"),
    reasons.ERROR_REASON_WORKER_LOADING: Row(code_pb2.UNAVAILABLE, 503, _UNAVAILABLE, "service_unavailable"),
    reasons.ERROR_REASON_WORKER_LOST: Row(code_pb2.UNAVAILABLE, 503, _UNAVAILABLE, "service_unavailable"),
    reasons.ERROR_REASON_STREAM_INTERRUPTED: Row(code_pb2.UNAVAILABLE, 503, _UNAVAILABLE, "stream_interrupted"),
    reasons.ERROR_REASON_TRUNCATED: Row(code_pb2.INTERNAL, 502, _SERVER, "truncated"),
    reasons.ERROR_REASON_PROVIDER_UNAVAILABLE: Row(code_pb2.UNAVAILABLE, 503, _UNAVAILABLE, "provider_unavailable"),
    reasons.ERROR_REASON_PROVIDER_OVERLOADED: Row(code_pb2.UNAVAILABLE, 503, _UNAVAILABLE, "server_is_overloaded"),
    reasons.ERROR_REASON_PROVIDER_RATE_LIMITED: Row(code_pb2.RESOURCE_EXHAUSTED, 429, _RATE, "rate_limit_exceeded"),
    reasons.ERROR_REASON_PROVIDER_CREDENTIAL: Row(
        code_pb2.UNAVAILABLE, 503, _UNAVAILABLE, "provider_unavailable", _FINAL
    ),
    reasons.ERROR_REASON_PROVIDER_REJECTED: Row(code_pb2.INVALID_ARGUMENT, 400, _REQUEST, "provider_rejected"),
    reasons.ERROR_REASON_CONTENT_POLICY: Row(code_pb2.FAILED_PRECONDITION, 400, _REQUEST, "content_policy_violation"),
    reasons.ERROR_REASON_PROVIDER_MALFORMED: Row(code_pb2.INTERNAL, 502, _SERVER, "provider_malformed"),
    reasons.ERROR_REASON_ENGINE_FAILED: Row(code_pb2.INTERNAL, 500, _SERVER, "engine_error"),
    reasons.ERROR_REASON_DEADLINE_EXCEEDED: Row(code_pb2.DEADLINE_EXCEEDED, 504, _TIMEOUT, "timeout", _FINAL),
    reasons.ERROR_REASON_CANCELLED: Row(code_pb2.CANCELLED, 499, _SERVER, "cancelled"),
    reasons.ERROR_REASON_SLOW_CONSUMER: Row(code_pb2.RESOURCE_EXHAUSTED, 408, _TIMEOUT, "slow_consumer", _FINAL),
    reasons.ERROR_REASON_ROUTER_UNAVAILABLE: Row(code_pb2.UNAVAILABLE, 503, _UNAVAILABLE, "service_unavailable"),
    reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE: Row(code_pb2.UNAVAILABLE, 503, _UNAVAILABLE, "service_unavailable"),
    reasons.ERROR_REASON_INTERNAL: Row(code_pb2.INTERNAL, 500, _SERVER, "internal_error"),
    reasons.ERROR_REASON_UNIMPLEMENTED: Row(code_pb2.UNIMPLEMENTED, 501, _REQUEST, "unimplemented", _FINAL),
}

# What bears no reason, by its code: gRPC itself has answered, or a gateway on its way down. Of this table
# infrastructure/envoy/edge.lua has a copy, which a test compares.
BARE: dict[int, Row] = {
    row.grpc: row
    for row in (
        Row(code_pb2.CANCELLED, 499, _SERVER, "cancelled"),
        Row(code_pb2.UNKNOWN, 500, _SERVER, "internal_error"),
        Row(code_pb2.INVALID_ARGUMENT, 400, _REQUEST, "invalid_request"),
        Row(code_pb2.DEADLINE_EXCEEDED, 504, _TIMEOUT, "timeout", _FINAL),
        Row(code_pb2.NOT_FOUND, 404, _REQUEST, "not_found"),
        Row(code_pb2.ALREADY_EXISTS, 409, _REQUEST, "conflict", _FINAL),
        Row(code_pb2.PERMISSION_DENIED, 403, _PERMISSION, "permission_denied"),
        Row(code_pb2.RESOURCE_EXHAUSTED, 429, _RATE, "rate_limit_exceeded"),
        Row(code_pb2.FAILED_PRECONDITION, 400, _REQUEST, "failed_precondition"),
        Row(code_pb2.ABORTED, 409, _REQUEST, "conflict", _FINAL),
        Row(code_pb2.OUT_OF_RANGE, 400, _REQUEST, "out_of_range"),
        Row(code_pb2.UNIMPLEMENTED, 501, _REQUEST, "unimplemented", _FINAL),
        Row(code_pb2.INTERNAL, 500, _SERVER, "internal_error"),
        Row(code_pb2.UNAVAILABLE, 503, _UNAVAILABLE, "service_unavailable"),
        Row(code_pb2.DATA_LOSS, 500, _SERVER, "internal_error", _FINAL),
        Row(code_pb2.UNAUTHENTICATED, 401, _CREDENTIAL, "invalid_api_key"),
    )
}


class EdgeRow(NamedTuple):
    """How something is told that Envoy answers by itself.

    Attributes:
        type: OpenAI's `type`.
        code: OpenAI's `code`.
        grpc: the google.rpc.Code in the typed API as JSON; None where it is not known yet which API is meant, so that
            it is told in OpenAI's words to all.
        reason: the ErrorReason there; unspecified where none says it.
        retry_seconds: when another attempt may help, where that is known.
    """

    type: str
    code: str
    grpc: int | None
    reason: reasons.ErrorReason = reasons.ERROR_REASON_UNSPECIFIED
    retry_seconds: int | None = None


# By HTTP status; 500 and 400 stand for every other one from there on.
EDGE: dict[int, EdgeRow] = {
    401: EdgeRow(_CREDENTIAL, "invalid_api_key", code_pb2.UNAUTHENTICATED, reasons.ERROR_REASON_CREDENTIAL_INVALID),
    404: EdgeRow(_REQUEST, "unknown_url", code_pb2.NOT_FOUND),
    408: EdgeRow(_TIMEOUT, "request_timeout", code_pb2.DEADLINE_EXCEEDED, reasons.ERROR_REASON_DEADLINE_EXCEEDED),
    413: EdgeRow(_REQUEST, "request_too_large", code_pb2.RESOURCE_EXHAUSTED, reasons.ERROR_REASON_REQUEST_TOO_LARGE),
    429: EdgeRow(_RATE, "rate_limit_exceeded", code_pb2.RESOURCE_EXHAUSTED, reasons.ERROR_REASON_RATE_LIMITED, 1),
    431: EdgeRow(_REQUEST, "headers_too_large", None),
    503: EdgeRow(_UNAVAILABLE, "service_unavailable", code_pb2.UNAVAILABLE, retry_seconds=1),
    504: EdgeRow(_TIMEOUT, "timeout", code_pb2.DEADLINE_EXCEEDED, reasons.ERROR_REASON_DEADLINE_EXCEEDED),
    500: EdgeRow(_SERVER, "internal_error", code_pb2.INTERNAL, reasons.ERROR_REASON_INTERNAL),
    400: EdgeRow(_REQUEST, "bad_request", code_pb2.INVALID_ARGUMENT, reasons.ERROR_REASON_SPEC_INVALID),
}


def row_of(reason: int) -> Row:
    """The row of a reason. One of a newer peer counts as unspecified."""
    return REASONS.get(reason, REASONS[reasons.ERROR_REASON_UNSPECIFIED])
