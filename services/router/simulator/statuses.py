"""The statuses with which simulated attempts end, as real workers tell them."""

import functools

from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from services.chassis import register
from services.chassis.failure import Failure

OK = status_pb2.Status()


@functools.lru_cache(maxsize=256)
def failed(reason: int, retry_after: float | None = None, stage: str = "") -> status_pb2.Status:
    """The status of a failure. Whoever gets it must not change it."""
    name = Failure(reason, "").reason_name  # type: ignore[arg-type]
    info, box = error_details_pb2.ErrorInfo(reason=name, metadata={"stage": stage} if stage else {}), any_pb2.Any()
    box.Pack(info)
    details = [box]
    if retry_after is not None:
        delay, second = duration_pb2.Duration(), any_pb2.Any()
        delay.FromNanoseconds(round(retry_after * 1e9))
        second.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
        details.append(second)
    return status_pb2.Status(code=register.row_of(reason).grpc, details=details)


def reason_of(cause: Failure | status_pb2.Status) -> str:
    """The reason's name, `WORKER_LOST`; the code in digits where there is none."""
    if isinstance(cause, Failure):
        return cause.reason_name
    info = error_details_pb2.ErrorInfo()
    for detail in cause.details:
        if detail.Unpack(info):
            return str(info.reason)
    return str(cause.code)
