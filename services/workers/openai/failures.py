"""What an OpenAI-compatible server says when it fails, as failures that somebody can act on."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from services.chassis.failure import Failure
from services.workers.vendor import failures
from services.workers.vendor.wire import loads

PROVIDER = "openai"

_NO_CREDIT = frozenset(
    {"insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached", "billing_not_active"}
    | {"account_deactivated", "access_terminated"}
)
_USED_UP = "Our account with the provider is used up."
_POLICY = frozenset({"content_policy_violation", "content_filter", "content_policy", "moderation_blocked"})
_TOO_LONG = re.compile(
    r"maximum context length|context[_ ](?:length|window)|prompt is too long|input is too long|longer than the model",
    re.IGNORECASE,
)
_TOO_LARGE = re.compile(r"request too large\b", re.IGNORECASE)
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
    failure = _judge(_problem(loads(body), status), failures.retry_after(headers, now=now), keys)
    return failures.with_status(failure, status)


def from_event(value: Mapping[str, Any], *, keys: Sequence[str]) -> Failure | None:
    """The failure that an event within a stream tells of, if it does."""
    if value.get("error") is None and value.get("object") != "error":
        return None
    problem = _problem(value, 0)
    status = problem.status or next((_STATUS_OF_WORD[word] for word in problem.words if word in _STATUS_OF_WORD), 500)
    return _judge(dataclasses.replace(problem, status=status), None, keys)


def from_whole(body: bytes, *, keys: Sequence[str]) -> Failure | None:
    """The failure that an answer of status 200 tells of all the same, if it does."""
    value = loads(body)
    return from_event(value, keys=keys) if isinstance(value, dict) else None


def unsupported(field: str, why: str) -> Failure:
    """A field that an OpenAI-compatible server is not sent."""
    return failures.unsupported(field, PROVIDER, why)


def _judge(problem: Problem, wait: float | None, keys: Sequence[str]) -> Failure:
    status, words = problem.status, frozenset(problem.words)
    if status in (401, 402) or words & _NO_CREDIT:
        return failures.credential() if status == 401 else failures.credential(_USED_UP)
    if words & _POLICY or (status == 403 and re.search("moderation|flagged", problem.message)):
        return failures.policy()
    if status == 403:
        return failures.credential()
    if status == 429:
        # What alone is more than a minute's limit is never answered, whenever it comes.
        return _rejected(problem, keys) if _TOO_LARGE.match(problem.message) else failures.rate_limited(wait)
    if status in (503, 529) or (status >= 500 and words & _OVERLOADED):
        return failures.overloaded(wait)
    if status >= 500 or status in (408, 409, 425):
        return failures.unavailable(f"answered with HTTP status {status}", http_status=status, retry_after=wait)
    if status >= 400:
        return _rejected(problem, keys)
    return failures.malformed(f"HTTP status {status}, which is followed nowhere; is `base_url` right?")


def _rejected(problem: Problem, keys: Sequence[str]) -> Failure:
    said, field = failures.redacted(problem.message, keys), failures.redacted(problem.param, keys)
    if "context_length_exceeded" in problem.words or (problem.status in (400, 422) and _TOO_LONG.search(said)):
        return failures.too_long(said, field)
    return failures.rejected(said, field)


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
