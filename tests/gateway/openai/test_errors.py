"""Failures in OpenAI's words."""

import json

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hypothesis import given
from hypothesis import strategies as st

from services.chassis import status
from services.chassis.failure import Failure
from services.gateway.openai import errors

REASONS = [pytest.param(value, id=name.removeprefix("ERROR_REASON_")) for name, value in reasons.ErrorReason.items()]

# What Envoy's transcoder makes of gRPC's codes.
HTTP_OF_GRPC = {1: 499, 3: 400, 4: 504, 5: 404, 7: 403, 8: 429, 9: 400, 12: 501, 13: 500, 14: 503, 16: 401}
DIFFERENT = {
    reasons.ERROR_REASON_REQUEST_TOO_LARGE: 413,
    reasons.ERROR_REASON_TRUNCATED: 502,
    reasons.ERROR_REASON_PROVIDER_MALFORMED: 502,
    reasons.ERROR_REASON_SLOW_CONSUMER: 408,
}


def error_of(reply):
    return json.loads(reply.body)["error"]


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_a_row(reason):
    http_status, kind, code = errors.TABLE[reason]
    reply = errors.render(Failure(reason, "why"))
    assert reply.http_status == http_status
    assert error_of(reply) == {"message": "why", "type": kind, "param": None, "code": code}


@pytest.mark.parametrize("reason", REASONS)
def test_both_faces_agree_on_the_status(reason):
    expected = DIFFERENT.get(reason, HTTP_OF_GRPC[status.code_of(Failure(reason, ""))])
    assert errors.TABLE[reason][0] == expected


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
    ],
)
def test_what_clients_look_for_is_spelled_as_openai_spells_it(reason, row):
    assert errors.TABLE[reason] == row


def test_a_reason_from_a_newer_peer_is_an_internal_error():
    assert errors.render(Failure(reasons.ERROR_REASON_UNSPECIFIED, "?")).http_status == 500


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (6.2, "7"), (1e12, "86400")])
def test_retry_after_is_in_whole_seconds_and_never_none(seconds, header):
    reply = errors.render(Failure(reasons.ERROR_REASON_RATE_LIMITED, "", retry_after=seconds))
    assert reply.headers == (("retry-after", header),)


@pytest.mark.parametrize("reason", REASONS)
def test_every_503_says_when_to_come_back(reason):
    reply = errors.render(Failure(reason, ""))
    assert (("retry-after", "1") in reply.headers) == (reply.http_status == 503)


@pytest.mark.parametrize("reason", REASONS)
def test_only_a_used_up_budget_forbids_another_attempt(reason):
    forbidden = ("x-should-retry", "false") in errors.render(Failure(reason, "")).headers
    assert forbidden == (reason == reasons.ERROR_REASON_QUOTA_EXHAUSTED)


@pytest.mark.parametrize(
    ("field", "param"),
    [
        ("model", "model"),
        ("sampling.seed", "seed"),
        ("choices", "n"),
        ("max_output_tokens", "max_completion_tokens"),
        ("logprobs.top", "top_logprobs"),
        ("messages[3].parts[1]", "messages[3].content[1]"),
        ("messages[3].parts", "messages[3].content"),
        ("messages[0].role", "messages[0].role"),
        ("tools[0].parameters_json", "tools[0].function.parameters"),
    ],
)
def test_a_field_is_told_by_the_name_the_client_gave_it(field, param):
    error = error_of(errors.render(Failure(reasons.ERROR_REASON_SPEC_INVALID, f"`{field}` is odd.", field=field)))
    assert (error["param"], error["message"]) == (param, f"`{param}` is odd.")


@given(message=st.text(st.characters()), field=st.text(st.characters()))
def test_telling_a_failure_never_fails(message, field):
    failure = Failure(reasons.ERROR_REASON_SPEC_INVALID, message, field=field)
    event = errors.event(failure)
    assert event.startswith(b"data: ")
    assert event.endswith(b"}\n\n")
    assert event.count(b"\n") == 2
    assert json.loads(event.removeprefix(b"data: ")) == json.loads(errors.render(failure).body)


def test_a_lone_surrogate_of_a_vendor_is_replaced():
    assert error_of(errors.render(Failure(reasons.ERROR_REASON_PROVIDER_REJECTED, "a\ud800b")))["message"] == "a?b"
