"""What an OpenAI-compatible server says when it fails, as failures that somebody can act on."""

import dataclasses
import email.utils
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.inference.text import valid_text

PROVIDER = "openai"

_LONGEST_MESSAGE = 500
# A vendor that says "never again" is asked again after an hour.
_LONGEST_RETRY_AFTER = 3600.0
_SOON = 1.0
# What looks like a key, whosever it is, masked ones included.
_KEY = re.compile(r"\b(?:sk|rk|pk|gsk|xai)-[\w*.-]{6,}|(?i:bearer)\s+\S{8,}")

_NO_CREDIT = frozenset(
    {"insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached", "billing_not_active"}
    | {"account_deactivated", "access_terminated"}
)
_POLICY = frozenset({"content_policy_violation", "content_filter", "content_policy", "moderation_blocked"})
_TOO_LONG = re.compile(
    r"maximum context length|context[_ ](?:length|window)|prompt is too long|input is too long|longer than the model",
    re.IGNORECASE,
)
_OVERLOADED = frozenset({"server_is_overloaded", "overloaded_error", "overloaded", "slow_down", "engine_overloaded"})
_STATUS_OF_WORD = {
    "invalid_api_key": 401,
    "authentication_error": 401,
    "permission_error": 403,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "invalid_request_error": 400,
    "BadRequestError": 400,
    "service_unavailable_error": 503,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """OpenAI's error object, as far as it could be read. `status` is the HTTP status that it says or comes with."""

    status: int
    message: str = ""
    param: str = ""
    words: tuple[str, ...] = ()


def from_response(status: int, headers: Mapping[str, str], body: bytes, *, keys: Sequence[str], now: float) -> Failure:
    """The failure behind an answer that is not 200; `now` is the time of day, for dates in headers."""
    return _judge(_problem(_loads(body), status), retry_after(headers, now=now), keys)


def from_event(value: Mapping[str, Any], *, keys: Sequence[str]) -> Failure | None:
    """The failure that an event within a stream tells of, if it does."""
    if value.get("error") is None and value.get("object") != "error":
        return None
    problem = _problem(value, 0)
    status = problem.status or next((_STATUS_OF_WORD[word] for word in problem.words if word in _STATUS_OF_WORD), 500)
    return _judge(dataclasses.replace(problem, status=status), None, keys)


def from_whole(body: bytes, *, keys: Sequence[str]) -> Failure | None:
    """The failure that an answer of status 200 tells of all the same, if it does."""
    value = _loads(body)
    return from_event(value, keys=keys) if isinstance(value, dict) else None


def malformed(what: str) -> Failure:
    """The answer cannot be understood: `what` came instead."""
    return Failure(reasons.ERROR_REASON_PROVIDER_MALFORMED, f"The provider sent {what}.", provider=PROVIDER)


def unavailable(what: str) -> Failure:
    """The server cannot be reached, or failed by itself."""
    return Failure(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE, f"The provider {what}.", provider=PROVIDER)


def truncated() -> Failure:
    """The stream has ended and the answer has not."""
    return Failure(
        reasons.ERROR_REASON_TRUNCATED, "The provider ended without saying how the answer ended.", provider=PROVIDER
    )


def late(stage: str, seconds: float) -> Failure:
    """A wait that was too long."""
    return Failure(
        reasons.ERROR_REASON_DEADLINE_EXCEEDED,
        f"The provider took more than {seconds:g} seconds ({stage}).",
        stage=stage,
    )


def unsupported(field: str, why: str) -> Failure:
    """A field that an OpenAI-compatible server is not sent."""
    return Failure(
        reasons.ERROR_REASON_UNSUPPORTED,
        f"`{field}` is not supported by openai: {why}.",
        field=field,
        provider=PROVIDER,
    )


def retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Seconds to wait, as `retry-after-ms` or `retry-after` say: a number, or a date."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        if not text:
            continue
        try:
            seconds = float(text) * unit
        except ValueError:
            seconds = _until(text, now)
        if math.isfinite(seconds):
            return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)
    return None


def redacted(text: str, keys: Sequence[str]) -> str:
    """A vendor's words without our keys, or what looks like one, and not too many."""
    for key in keys:
        if len(key) >= 8:  # `none` is no secret, and a word
            text = text.replace(key, "[key]")
    return valid_text(_KEY.sub("[key]", text)[:_LONGEST_MESSAGE])


def _judge(problem: Problem, wait: float | None, keys: Sequence[str]) -> Failure:
    status, words = problem.status, frozenset(problem.words)
    if status in (401, 402) or words & _NO_CREDIT:
        message = (
            "The provider refused our credential." if status == 401 else "Our account with the provider is used up."
        )
        return _failure(reasons.ERROR_REASON_PROVIDER_CREDENTIAL, message, status)
    if words & _POLICY or (status == 403 and re.search("moderation|flagged", problem.message)):
        return _failure(
            reasons.ERROR_REASON_CONTENT_POLICY, "The provider's content policy refused the request.", status
        )
    if status == 403:
        return _failure(reasons.ERROR_REASON_PROVIDER_CREDENTIAL, "The provider refused our credential.", status)
    if status == 429:
        message = "The provider's rate limit is used up."
        return _failure(reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, message, status, _SOON if wait is None else wait)
    if status in (503, 529) or (status >= 500 and words & _OVERLOADED):
        message = "The provider is overloaded."
        return _failure(reasons.ERROR_REASON_PROVIDER_OVERLOADED, message, status, _SOON if wait is None else wait)
    if status >= 500 or status in (408, 409, 425):
        message = f"The provider answered with HTTP status {status}."
        return _failure(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE, message, status, wait)
    if status >= 400:
        return _rejected(problem, keys)
    return malformed(f"HTTP status {status}, which is followed nowhere; is `base_url` right?")


def _rejected(problem: Problem, keys: Sequence[str]) -> Failure:
    said = redacted(problem.message, keys)
    message = f"The provider rejected the request: {said}" if said else "The provider rejected the request."
    field = redacted(problem.param, keys)
    if "context_length_exceeded" in problem.words or (problem.status in (400, 422) and _TOO_LONG.search(said)):
        return Failure(reasons.ERROR_REASON_CONTEXT_TOO_LONG, message, field=field or "messages")
    metadata = {"field": field} if field else {}
    return Failure(reasons.ERROR_REASON_PROVIDER_REJECTED, message, metadata=metadata, provider=PROVIDER)


def _failure(reason: "reasons.ErrorReason", message: str, status: int, wait: float | None = None) -> Failure:
    # The contract has a place for the status in this one alone.
    shown = {"http_status": str(status)} if reason == reasons.ERROR_REASON_PROVIDER_UNAVAILABLE else {}
    return Failure(reason, message, retry_after=wait, metadata=shown, provider=PROVIDER)


def _problem(value: object, status: int) -> Problem:
    """OpenAI nests the error object; older vLLM and others put its members at the top, Gemini makes a list of it."""
    if isinstance(value, list) and value:
        value = value[0]
    found = value if isinstance(value, dict) else {}
    error = found.get("error", found)
    if not isinstance(error, dict):
        return Problem(status or 500, str(error) if isinstance(error, str) else "")
    code = error.get("code")
    if not status and isinstance(code, int | str) and re.fullmatch("[45][0-9][0-9]", str(code)):
        status = int(code)
    words = tuple(word for word in (code, error.get("type")) if isinstance(word, str))
    message, param = error.get("message"), error.get("param")
    return Problem(status, message if isinstance(message, str) else "", param if isinstance(param, str) else "", words)


def _loads(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _until(date: str, now: float) -> float:
    try:
        return email.utils.parsedate_to_datetime(date).timestamp() - now
    except (TypeError, ValueError, OverflowError):
        return math.nan
