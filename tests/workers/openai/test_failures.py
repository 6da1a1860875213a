"""What a vendor says when it fails."""

import json

import pytest

from services.workers.openai import failures
from tests.vendors.openai_server import error

KEY = "sk-canary-0123456789abcdef"
NOW = 1_700_000_000.0
# What the register of reasons has a place for, where that is more than the provider.
METADATA = {
    "CONTEXT_TOO_LONG": {"field", "model"},
    "PROVIDER_REJECTED": {"field", "provider"},
    "PROVIDER_UNAVAILABLE": {"http_status", "provider"},
}
TOO_LONG = error("This model's maximum context length is 2048 tokens. You asked for 3000.")


def judged(status: int, body: bytes = b"", **headers: str) -> failures.Failure:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return failures.from_response(status, named, body, keys=[KEY], now=NOW)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, error("no"), "PROVIDER_REJECTED"),
        (404, error("no such model", code="model_not_found"), "PROVIDER_REJECTED"),
        (422, b'{"detail": []}', "PROVIDER_REJECTED"),
        (413, b"<html>", "PROVIDER_REJECTED"),
        (400, error("x", code="context_length_exceeded"), "CONTEXT_TOO_LONG"),
        (400, TOO_LONG, "CONTEXT_TOO_LONG"),
        (400, error("x", code="content_policy_violation"), "CONTENT_POLICY"),
        (400, error("x", code="content_filter"), "CONTENT_POLICY"),
        (403, error("your input was flagged"), "CONTENT_POLICY"),
        (401, error("x", code="invalid_api_key"), "PROVIDER_CREDENTIAL"),
        (402, error("x"), "PROVIDER_CREDENTIAL"),
        (403, error("x"), "PROVIDER_CREDENTIAL"),
        (429, error("x", code="insufficient_quota"), "PROVIDER_CREDENTIAL"),
        (429, error("x", kind="insufficient_quota"), "PROVIDER_CREDENTIAL"),
        (429, error("x", code="rate_limit_exceeded"), "PROVIDER_RATE_LIMITED"),
        (429, b"", "PROVIDER_RATE_LIMITED"),
        (
            429,
            error("Request too large for gpt-x on tokens per min (TPM): Limit 30"),
            "PROVIDER_REJECTED",
        ),
        (503, b"", "PROVIDER_OVERLOADED"),
        (529, b"", "PROVIDER_OVERLOADED"),
        (500, error("x", code="server_is_overloaded"), "PROVIDER_OVERLOADED"),
        (500, b"", "PROVIDER_UNAVAILABLE"),
        (502, b"<html>", "PROVIDER_UNAVAILABLE"),
        (408, b"", "PROVIDER_UNAVAILABLE"),
        (302, b"", "PROVIDER_MALFORMED"),
        (400, b'[{"error": {"code": 400, "message": "a list", "status": "INVALID_ARGUMENT"}}]', "PROVIDER_REJECTED"),
        (400, json.dumps({"error": [1]}).encode(), "PROVIDER_REJECTED"),
    ],
)
def test_a_status_and_a_body_have_one_reason(status: int, body: bytes, reason: str) -> None:
    failure = judged(status, body)
    assert failure.reason_name == reason
    assert failure.metadata.get("provider", "openai") == "openai"
    assert failure.metadata.keys() <= METADATA.get(reason, {"provider"})


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after_ms": "250", "retry_after": "7"}, 0.25),
        ({"retry_after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ({"retry_after": "Tue, 14 Nov 2023 22:00:00 GMT"}, 0.0),
        ({"retry_after": "99999999"}, 3600.0),
        ({"retry_after": "soon"}, 1.0),
        ({"retry_after": "nan"}, 1.0),
        ({"retry_after_ms": "x", "retry_after": "2"}, 2.0),
        ({}, 1.0),
    ],
)
def test_when_to_come_back_is_understood_in_every_form(headers: dict[str, str], seconds: float) -> None:
    assert judged(429, **headers).retry_after == seconds


def test_the_field_and_the_words_of_a_rejection_reach_the_caller() -> None:
    failure = judged(400, error("`n` is too large", param="n"))
    assert failure.metadata["field"] == "n"
    assert "`n` is too large" in failure.message


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("text", [f"bad key {KEY}", "bad key sk-cana**********cdef", f"Authorization: Bearer {KEY}"])
def test_our_key_is_in_no_message_even_masked(status: int, text: str) -> None:
    failure = judged(status, error(text, param=KEY, code=KEY))
    told = f"{failure} {failure!r} {failure.metadata}"
    assert KEY not in told
    assert "cdef" not in told


def test_a_long_message_is_cut_and_half_characters_are_replaced() -> None:
    body = json.dumps({"error": {"message": "\ud83d" + "x" * 10_000}}).encode()
    judged(400, body).message.encode()
    assert len(judged(400, error("x" * 10_000)).message) < 600
