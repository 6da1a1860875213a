"""What the end of an attempt says about the worker it ran on."""

import dataclasses
import enum

from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2


class Kind(enum.Enum):
    """Whom an outcome speaks about."""

    SUCCESS = "success"
    HARD = "hard"  # the worker, or what stands behind it, is sick
    RATE = "rate"  # a limit is used up: come back later, nobody is sick
    AWAY = "away"  # the worker itself said that it takes nothing now; its next report says more
    CALLER = "caller"  # the request's own doing, which counts for nobody


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome, judged. `reason` is ErrorInfo's, empty where there is none."""

    kind: Kind
    reason: str = ""
    retry_after: float | None = None

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed elsewhere, or later."""
        return self.kind in (Kind.HARD, Kind.RATE, Kind.AWAY)


_HARD_CODES = frozenset((code_pb2.UNAVAILABLE, code_pb2.INTERNAL, code_pb2.UNKNOWN, code_pb2.DATA_LOSS))
_AWAY = frozenset(("WORKER_SATURATED", "WORKER_DRAINING", "WORKER_LOADING"))
# Their codes look like a worker's failure, but no worker had a part in it.
_NOT_THE_WORKER = frozenset(
    (
        "REQUEST_TOO_LARGE",
        "QUOTA_EXHAUSTED",
        "SLOW_CONSUMER",
        "ROUTER_UNAVAILABLE",
        "ACCOUNTING_UNAVAILABLE",
    )
)
# What a gateway that stops says of all that it carries.
_OF_THE_GATEWAY = "gateway"
# A deadline says something of the worker only where the worker kept silent; `total` is merely a long answer.
_SILENT_STAGES = frozenset(("connect", "first_token", "idle"))

_SUCCESS = Verdict(Kind.SUCCESS)


def judge(status: status_pb2.Status) -> Verdict:
    """The verdict on an attempt that ended with this status."""
    if status.code == code_pb2.OK:
        return _SUCCESS
    info, retry_after = _details(status)
    return Verdict(_kind(status.code, info), info.reason, retry_after)


def _kind(code: int, info: error_details_pb2.ErrorInfo) -> Kind:
    if info.reason in _NOT_THE_WORKER or info.metadata.get("stage") == _OF_THE_GATEWAY:
        return Kind.CALLER
    if info.reason in _AWAY:
        return Kind.AWAY
    if code == code_pb2.RESOURCE_EXHAUSTED:
        return Kind.RATE
    if code == code_pb2.DEADLINE_EXCEEDED:
        return Kind.HARD if info.metadata.get("stage") in _SILENT_STAGES else Kind.CALLER
    return Kind.HARD if code in _HARD_CODES else Kind.CALLER


def _details(status: status_pb2.Status) -> tuple[error_details_pb2.ErrorInfo, float | None]:
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    retry_after: float | None = None
    for detail in status.details:
        try:
            if detail.Unpack(retry):
                retry_after = retry.retry_delay.ToNanoseconds() / 1e9
            else:
                detail.Unpack(info)
        except DecodeError:  # one attempt's garbage must not end all that its gateway carries; the code says enough
            continue
    return info, retry_after


def with_retry_after(status: status_pb2.Status, seconds: float) -> status_pb2.Status:
    """The status, with RetryInfo where it has none."""
    if _details(status)[1] is not None:
        return status
    retry, box = error_details_pb2.RetryInfo(), any_pb2.Any()
    retry.retry_delay.FromNanoseconds(round(seconds * 1e9))
    box.Pack(retry)
    told = status_pb2.Status()
    told.CopyFrom(status)
    told.details.append(box)
    return told
