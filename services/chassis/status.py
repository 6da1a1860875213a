"""Failure to and from google.rpc.Status."""

from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis import register
from services.chassis.failure import Failure

DOMAIN = "hybridinference.dev"

# A status travels in trailers, twice and escaped, and peers refuse trailers above 8 KiB.
_MESSAGE_CHARACTERS = 500
_METADATA_CHARACTERS = 200
_LONGEST_RETRY_SECONDS = 86_400.0

# A bare status, from a library or an older peer, still deserves the closest reason.
_REASON_OF_CODE: dict[int, reasons.ErrorReason] = {
    code_pb2.CANCELLED: reasons.ERROR_REASON_CANCELLED,
    code_pb2.INVALID_ARGUMENT: reasons.ERROR_REASON_SPEC_INVALID,
    code_pb2.DEADLINE_EXCEEDED: reasons.ERROR_REASON_DEADLINE_EXCEEDED,
    code_pb2.NOT_FOUND: reasons.ERROR_REASON_MODEL_NOT_FOUND,
    code_pb2.RESOURCE_EXHAUSTED: reasons.ERROR_REASON_RATE_LIMITED,
    code_pb2.PERMISSION_DENIED: reasons.ERROR_REASON_PERMISSION_DENIED,
    code_pb2.UNAUTHENTICATED: reasons.ERROR_REASON_CREDENTIAL_INVALID,
    code_pb2.UNIMPLEMENTED: reasons.ERROR_REASON_UNIMPLEMENTED,
    code_pb2.UNAVAILABLE: reasons.ERROR_REASON_WORKER_LOST,
    code_pb2.INTERNAL: reasons.ERROR_REASON_INTERNAL,
}

# A dictionary, not ErrorReason.Value(): that raises on a reason from a newer peer.
_REASON_BY_NAME: dict[str, Any] = {
    name.removeprefix("ERROR_REASON_"): value for name, value in reasons.ErrorReason.items()
}


def code_of(failure: Failure) -> int:
    """The google.rpc.Code of a failure."""
    return register.row_of(failure.reason).grpc


def to_status(failure: Failure) -> status_pb2.Status:
    """The status of a failure, with ErrorInfo and, where waiting helps, RetryInfo.

    Never raises: whatever a vendor's words or a caller's fields brought into the failure is made fit to travel.
    """
    metadata = {key: _fit(value, _METADATA_CHARACTERS) for key, value in failure.metadata.items()}
    info = error_details_pb2.ErrorInfo(reason=failure.reason_name, domain=DOMAIN, metadata=metadata)
    details = [_packed(info)]
    if failure.retry_after is not None:
        delay = duration_pb2.Duration()
        # 0.0 first: max() then turns NaN into 0 as well.
        delay.FromNanoseconds(round(min(max(0.0, failure.retry_after), _LONGEST_RETRY_SECONDS) * 1e9))
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status_pb2.Status(code=code_of(failure), message=_fit(failure.message, _MESSAGE_CHARACTERS), details=details)


def from_status(status: status_pb2.Status) -> Failure:
    """The failure that a status carries. A status without ErrorInfo gets the closest reason for its code."""
    reason = _REASON_OF_CODE.get(status.code, reasons.ERROR_REASON_UNSPECIFIED)
    metadata: dict[str, str] = {}
    retry_after: float | None = None
    for detail in status.details:
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason = _REASON_BY_NAME.get(info.reason, reason)
            metadata = dict(info.metadata)
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    return Failure(reason, status.message, retry_after=retry_after, metadata=metadata)


def to_grpc(failure: Failure) -> grpc.Status:
    """What `context.abort_with_status` takes."""
    status: grpc.Status = rpc_status.to_status(to_status(failure))
    return status


def from_rpc_error(error: grpc.aio.AioRpcError) -> Failure:
    """The failure behind a call that ended with an error."""
    try:
        rich = rpc_status.from_call(error)  # type: ignore[arg-type]  # it asks only for what both have
        if rich is not None:
            return from_status(rich)
    except (ValueError, DecodeError):  # the details contradict the status, or are none: something has replaced them
        pass
    return from_status(status_pb2.Status(code=error.code().value[0], message=error.details() or ""))


def _fit(text: str, characters: int) -> str:
    """At most so many characters of a text, as valid UTF-8: protobuf raises on a lone surrogate."""
    short = text if len(text) <= characters else text[: characters - 1] + "…"
    return short.encode("utf-8", "replace").decode("utf-8")


def _packed(message: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> any_pb2.Any:
    box = any_pb2.Any()
    box.Pack(message)
    return box
