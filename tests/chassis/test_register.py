"""The register of failures."""

import pytest
from google.rpc import code_pb2, status_pb2
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis import register, status

REASONS = [pytest.param(value, id=name.removeprefix("ERROR_REASON_")) for name, value in reasons.ErrorReason.items()]

# Reasons whose HTTP status on /v1 is not that of their gRPC code.
DIFFERENT = {
    reasons.ERROR_REASON_REQUEST_TOO_LARGE: 413,
    reasons.ERROR_REASON_TRUNCATED: 502,
    reasons.ERROR_REASON_PROVIDER_MALFORMED: 502,
    reasons.ERROR_REASON_SLOW_CONSUMER: 408,
}
# Codes that no reason has, or not in this sense.
ONLY_BARE = {code_pb2.NOT_FOUND, code_pb2.ALREADY_EXISTS, code_pb2.FAILED_PRECONDITION, code_pb2.ABORTED,
             code_pb2.OUT_OF_RANGE, code_pb2.DATA_LOSS}  # fmt: skip


def test_every_reason_has_a_row_and_there_is_no_other():
    assert set(register.REASONS) == set(reasons.ErrorReason.values())


def test_every_code_but_ok_has_a_row_and_there_is_no_other():
    assert set(register.BARE) == set(code_pb2.Code.values()) - {code_pb2.OK}


@pytest.mark.parametrize("reason", REASONS)
def test_both_faces_agree_on_the_status(reason):
    row = register.REASONS[reason]
    assert row.http == DIFFERENT.get(reason, register.BARE[row.grpc].http)


@pytest.mark.parametrize("code", sorted(set(register.BARE) - ONLY_BARE), ids=code_pb2.Code.Name)
def test_a_bare_code_is_told_as_the_reason_that_it_is_taken_for(code):
    closest = status.from_status(status_pb2.Status(code=code)).reason
    assert register.BARE[code] == register.REASONS[closest]._replace(grpc=code)


@pytest.mark.parametrize("row", [*register.REASONS.values(), *register.BARE.values()])
def test_only_what_sdks_would_try_again_is_said_to_be_final(row):
    if row.final:
        assert row.http in (408, 409, 429) or row.http >= 500


@pytest.mark.parametrize(
    ("reason", "row"),
    [
        (reasons.ERROR_REASON_CREDENTIAL_INVALID, (401, "authentication_error", "invalid_api_key")),
        (reasons.ERROR_REASON_CONTEXT_TOO_LONG, (400, "invalid_request_error", "context_length_exceeded")),
        (reasons.ERROR_REASON_MODEL_NOT_FOUND, (404, "invalid_request_error", "model_not_found")),
        (reasons.ERROR_REASON_RATE_LIMITED, (429, "rate_limit_error", "rate_limit_exceeded")),
        (reasons.ERROR_REASON_QUOTA_EXHAUSTED, (429, "insufficient_quota", "insufficient_quota")),
        (reasons.ERROR_REASON_CONTENT_POLICY, (400, "invalid_request_error", "content_policy_violation")),
        (reasons.ERROR_REASON_NO_HEALTHY_WORKER, (503, "service_unavailable_error", "service_unavailable")),
        (reasons.ERROR_REASON_FLEET_SATURATED, (429, "rate_limit_error", "slow_down")),
        (reasons.ERROR_REASON_PROVIDER_OVERLOADED, (503, "service_unavailable_error", "server_is_overloaded")),
    ],
)
def test_what_clients_look_for_is_spelled_as_openai_spells_it(reason, row):
    assert register.REASONS[reason][1:4] == row


def test_a_reason_of_a_newer_peer_is_unspecified():
    assert register.row_of(12345) == register.REASONS[reasons.ERROR_REASON_UNSPECIFIED]
