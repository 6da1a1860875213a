"""What the end of an attempt says about its worker."""

import pytest
from google.rpc import code_pb2
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis import status
from services.router import faults
from services.router.faults import Kind, judge
from tests.router.scene import OK, bare, failed

_EXPECTED = {
    Kind.HARD: (
        "NO_HEALTHY_WORKER WORKER_LOST STREAM_INTERRUPTED TRUNCATED PROVIDER_UNAVAILABLE PROVIDER_OVERLOADED "
        "PROVIDER_CREDENTIAL PROVIDER_MALFORMED ENGINE_FAILED INTERNAL UNSPECIFIED"
    ),
    Kind.RATE: "RATE_LIMITED FLEET_SATURATED PROVIDER_RATE_LIMITED",
    Kind.AWAY: "WORKER_SATURATED WORKER_DRAINING WORKER_LOADING",
    Kind.CALLER: (
        "SPEC_INVALID UNSUPPORTED CONTEXT_TOO_LONG REQUEST_TOO_LARGE CREDENTIAL_INVALID PERMISSION_DENIED "
        "QUOTA_EXHAUSTED MODEL_NOT_FOUND PROVIDER_REJECTED CONTENT_POLICY DEADLINE_EXCEEDED CANCELLED SLOW_CONSUMER "
        "ROUTER_UNAVAILABLE ACCOUNTING_UNAVAILABLE UNIMPLEMENTED"
    ),
}


def test_every_reason_is_judged_as_expected() -> None:
    expected = {name: kind for kind, names in _EXPECTED.items() for name in names.split()}
    judged = {
        name.removeprefix("ERROR_REASON_"): judge(failed(reason)).kind for name, reason in reasons.ErrorReason.items()
    }
    assert judged == expected


def test_success_is_success() -> None:
    assert judge(OK).kind is Kind.SUCCESS
    assert not judge(OK).retryable


@pytest.mark.parametrize(
    ("stage", "kind"),
    [
        ("connect", Kind.HARD),
        ("first_token", Kind.HARD),
        ("idle", Kind.HARD),
        ("total", Kind.CALLER),
        ("placement", Kind.CALLER),
    ],
)
def test_a_deadline_counts_where_the_worker_kept_silent(stage: str, kind: Kind) -> None:
    assert judge(failed(reasons.ERROR_REASON_DEADLINE_EXCEEDED, stage=stage)).kind is kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (code_pb2.UNAVAILABLE, Kind.HARD),
        (code_pb2.INTERNAL, Kind.HARD),
        (code_pb2.UNKNOWN, Kind.HARD),
        (code_pb2.DATA_LOSS, Kind.HARD),
        (code_pb2.RESOURCE_EXHAUSTED, Kind.RATE),
        (code_pb2.CANCELLED, Kind.CALLER),
        (code_pb2.INVALID_ARGUMENT, Kind.CALLER),
        (code_pb2.NOT_FOUND, Kind.CALLER),
        (code_pb2.FAILED_PRECONDITION, Kind.CALLER),
        (code_pb2.PERMISSION_DENIED, Kind.CALLER),
        (code_pb2.DEADLINE_EXCEEDED, Kind.CALLER),
    ],
)
def test_a_status_without_details_is_judged_by_its_code(code: int, kind: Kind) -> None:
    assert judge(bare(code)).kind is kind


def test_retry_after_is_read() -> None:
    assert judge(failed(reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, retry_after=2.5)).retry_after == 2.5


def test_retry_after_is_added_only_where_there_is_none() -> None:
    told = faults.with_retry_after(failed(reasons.ERROR_REASON_WORKER_LOST, worker="w"), 1.5)
    failure = status.from_status(told)
    assert (failure.reason_name, failure.retry_after, failure.metadata) == ("WORKER_LOST", 1.5, {"worker": "w"})
    kept = faults.with_retry_after(failed(reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, retry_after=7), 1.5)
    assert status.from_status(kept).retry_after == 7


def test_the_status_that_was_reported_is_not_changed() -> None:
    reported = failed(reasons.ERROR_REASON_WORKER_LOST)
    faults.with_retry_after(reported, 1.0)
    assert len(reported.details) == 1


def test_a_gateway_that_stops_says_nothing_of_its_workers() -> None:
    assert judge(failed(reasons.ERROR_REASON_STREAM_INTERRUPTED)).kind is Kind.HARD
    assert judge(failed(reasons.ERROR_REASON_STREAM_INTERRUPTED, stage="gateway")).kind is Kind.CALLER


@pytest.mark.parametrize("name", ["ErrorInfo", "RetryInfo"])
def test_details_that_cannot_be_read_leave_the_code(name: str) -> None:
    broken = bare(code_pb2.UNAVAILABLE)
    broken.details.add(type_url=f"type.googleapis.com/google.rpc.{name}", value=b"\xff\xff")
    assert judge(broken).kind is Kind.HARD
    assert faults.with_retry_after(broken, 1.0).code == code_pb2.UNAVAILABLE
