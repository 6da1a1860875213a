"""Failures in OpenAI's words."""

import json

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hypothesis import given
from hypothesis import strategies as st

from services.chassis import register
from services.chassis.failure import Failure
from services.gateway.openai import errors

REASONS = [pytest.param(value, id=name.removeprefix("ERROR_REASON_")) for name, value in reasons.ErrorReason.items()]


def error_of(reply):
    return json.loads(reply.body)["error"]


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_is_told_in_the_words_of_the_register(reason):
    row = register.REASONS[reason]
    reply = errors.render(Failure(reason, "why"))
    assert reply.http_status == row.http
    assert error_of(reply) == {"message": "why", "type": row.type, "param": None, "code": row.code}


def test_a_reason_from_a_newer_peer_is_an_internal_error():
    assert errors.render(Failure(reasons.ERROR_REASON_UNSPECIFIED, "?")).http_status == 500


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (6.2, "7"), (1e12, "86400")])
def test_retry_after_is_in_whole_seconds_and_never_none(seconds, header):
    reply = errors.render(Failure(reasons.ERROR_REASON_RATE_LIMITED, "", retry_after=seconds))
    assert reply.headers == (("retry-after", header),)


@pytest.mark.parametrize("reason", REASONS)
def test_every_503_that_may_pass_says_when_to_come_back(reason):
    reply = errors.render(Failure(reason, ""))
    row = register.REASONS[reason]
    assert (("retry-after", "1") in reply.headers) == (row.http == 503 and not row.final)


FINAL = {"QUOTA_EXHAUSTED", "PROVIDER_CREDENTIAL", "DEADLINE_EXCEEDED", "SLOW_CONSUMER", "UNIMPLEMENTED"}


@pytest.mark.parametrize("reason", REASONS)
def test_sdks_are_told_where_another_attempt_is_in_vain_and_never_to_make_one(reason):
    failure = Failure(reason, "")
    told = dict(errors.render(failure).headers).get("x-should-retry")
    assert told == ("false" if failure.reason_name in FINAL else None)


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
