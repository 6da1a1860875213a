"""What the API says when it fails."""

import json
from typing import Any

import pytest

from services.chassis.failure import Failure
from services.workers.gemini import failures
from tests.vendors.gemini_server import error

KEY = "AIzaCanary-0123456789abcdef"
NOW = 1_700_000_000.0
# What the register of reasons has a place for, where that is more than the provider.
METADATA = {
    "CONTEXT_TOO_LONG": {"field", "model"},
    "PROVIDER_REJECTED": {"field"},
    "PROVIDER_UNAVAILABLE": {"http_status"},
}


def judged(status: int, body: bytes = b"", **headers: str) -> Failure:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return failures.from_response(status, named, body, keys=[KEY], now=NOW)


def quota(identifier: str, value: Any = "10") -> dict[str, Any]:
    return {"QuotaFailure": {"violations": [{"quotaId": identifier, "quotaValue": value}]}}


BAD_KEY = {"ErrorInfo": {"reason": "API_KEY_INVALID", "domain": "googleapis.com"}}
MINUTE, DAY = (
    "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
    "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
)
LOCATION = "User location is not supported for the API use."
FILE = "You do not have permission to access the File abc or it may not exist."
NOT_READY = "The File 2ybmtcsc3u8e is not in an ACTIVE state and usage is not allowed."
TOO_LONG = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
SIGNATURE = "Function call is missing a thought_signature in functionCall parts."


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, error(400, "no", "INVALID_ARGUMENT"), "PROVIDER_REJECTED"),
        (400, error(400, SIGNATURE, "INVALID_ARGUMENT"), "PROVIDER_REJECTED"),
        (400, error(400, TOO_LONG, "INVALID_ARGUMENT"), "CONTEXT_TOO_LONG"),
        (400, error(400, "x", "INVALID_ARGUMENT", BAD_KEY), "PROVIDER_CREDENTIAL"),
        (400, error(400, "API key expired. Please renew the API key.", "INVALID_ARGUMENT"), "PROVIDER_CREDENTIAL"),
        (400, error(400, LOCATION, "FAILED_PRECONDITION"), "PROVIDER_CREDENTIAL"),
        (400, error(400, NOT_READY, "FAILED_PRECONDITION"), "PROVIDER_REJECTED"),
        (401, error(401, "x", "UNAUTHENTICATED"), "PROVIDER_CREDENTIAL"),
        (402, b"", "PROVIDER_CREDENTIAL"),
        (403, error(403, "x", "PERMISSION_DENIED"), "PROVIDER_CREDENTIAL"),
        (403, error(403, FILE, "PERMISSION_DENIED"), "PROVIDER_REJECTED"),
        (404, error(404, "models/x is not found for API version v1beta", "NOT_FOUND"), "PROVIDER_REJECTED"),
        (413, b"<html>", "PROVIDER_REJECTED"),
        (429, error(429, "x", "RESOURCE_EXHAUSTED"), "PROVIDER_RATE_LIMITED"),
        (429, error(429, "x", "RESOURCE_EXHAUSTED", quota(MINUTE)), "PROVIDER_RATE_LIMITED"),
        (429, error(429, "x", "RESOURCE_EXHAUSTED", quota(DAY, "0")), "PROVIDER_CREDENTIAL"),
        (429, b"", "PROVIDER_RATE_LIMITED"),
        (499, error(499, "x", "CANCELLED"), "PROVIDER_UNAVAILABLE"),
        (500, error(500, "x", "INTERNAL"), "PROVIDER_UNAVAILABLE"),
        (503, error(503, "The model is overloaded.", "UNAVAILABLE"), "PROVIDER_OVERLOADED"),
        (503, b"", "PROVIDER_OVERLOADED"),
        (504, error(504, "x", "DEADLINE_EXCEEDED"), "PROVIDER_UNAVAILABLE"),
        (502, b"<html>", "PROVIDER_UNAVAILABLE"),
        (302, b"", "PROVIDER_MALFORMED"),
        (400, b"[" + error(400, "a list", "INVALID_ARGUMENT") + b"]", "PROVIDER_REJECTED"),
        (400, json.dumps({"error": [1]}).encode(), "PROVIDER_REJECTED"),
        (400, b"[[]]", "PROVIDER_REJECTED"),
        (429, json.dumps({"error": {"details": [7, {"@type": 7}]}}).encode(), "PROVIDER_RATE_LIMITED"),
    ],
)
def test_a_status_and_a_body_have_one_reason(status: int, body: bytes, reason: str) -> None:
    failure = judged(status, body)
    assert failure.reason_name == reason
    assert failure.metadata.keys() <= METADATA.get(reason, set())


@pytest.mark.parametrize(
    ("details", "headers", "seconds"),
    [
        ([{"RetryInfo": {"retryDelay": "7s"}}], {}, 7.0),
        ([quota(MINUTE), {"RetryInfo": {"retryDelay": "6.5s"}}], {}, 6.5),
        ([quota(DAY), {"RetryInfo": {"retryDelay": "7s"}}], {}, 3600.0),
        ([{"RetryInfo": {"retryDelay": "7s"}}], {"retry_after": "9"}, 9.0),
        ([{"RetryInfo": {"retryDelay": "999999s"}}], {}, 3600.0),
        ([{"RetryInfo": {"retryDelay": "soon"}}], {}, 1.0),
        ([{"RetryInfo": {"retryDelay": {"seconds": 7}}}], {}, 1.0),
        ([], {"retry_after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ([], {}, 1.0),
    ],
)
def test_when_to_come_back_is_understood_in_every_form(
    details: list[dict[str, Any]], headers: dict[str, str], seconds: float
) -> None:
    assert judged(429, error(429, "x", "RESOURCE_EXHAUSTED", *details), **headers).retry_after == seconds


def test_the_field_and_the_words_of_a_rejection_reach_the_caller() -> None:
    bad = {"BadRequest": {"fieldViolations": [{"field": "generation_config.temperature", "description": "x"}]}}
    failure = judged(400, error(400, "temperature is too large", "INVALID_ARGUMENT", bad))
    assert failure.metadata["field"] == "generation_config.temperature"
    assert "temperature is too large" in failure.message


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("text", [f"bad key {KEY}", "bad key AIza**********cdef", f"?key={KEY}"])
def test_our_key_is_in_no_message_even_masked(status: int, text: str) -> None:
    bad = {"BadRequest": {"fieldViolations": [{"field": KEY}]}}
    failure = judged(status, error(status, text, KEY, bad))
    told = f"{failure} {failure!r} {failure.metadata}"
    assert KEY not in told
    assert "cdef" not in told


def test_a_long_message_is_cut_and_half_characters_are_replaced() -> None:
    body = json.dumps({"error": {"message": "\ud83d" + "x" * 10_000}}).encode()
    judged(400, body).message.encode()
    assert len(judged(400, error(400, "x" * 10_000)).message) < 600
