"""What the Gemini API says when it fails, as failures that somebody can act on."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.workers.gemini.wire import words
from services.workers.vendor import failures
from services.workers.vendor.wire import loads

PROVIDER = "gemini"

_USED_UP = "Our account with the provider is used up."
_NOT_HERE = (
    "The provider does not serve our account as it is, or not from this country: see whether billing is enabled, and "
    "where this worker runs."
)
_TOO_LONG = re.compile(
    r"exceeds the maximum number of tokens|input token count|context (?:length|window)", re.IGNORECASE
)
# Files belong to an account; one that is not there, not ours, or not ready yet is refused as if our key were at fault.
_BAD_FILE = re.compile(r"\bfile\b.*(?:may not exist|not in an active state)", re.IGNORECASE | re.DOTALL)
_BAD_KEY = re.compile(r"API[_ ]key (?:not valid|expired|not found)|pass a valid API key", re.IGNORECASE)
_STATUS_OF_WORD = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_DAY = 86400.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Quota:
    """What a QuotaFailure says: whether the quota is one of a day, and whether there is none at all."""

    daily: bool = False
    nothing: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """Google's error object, as far as it could be read. `status` is the HTTP status, `word` its name at Google."""

    status: int
    word: str = ""
    message: str = ""
    reason: str = ""
    field: str = ""
    wait: float | None = None
    quota: _Quota = _Quota()


def from_response(status: int, headers: Mapping[str, str], body: bytes, *, keys: Sequence[str], now: float) -> Failure:
    """The failure behind an answer that is not 200; `now` is the time of day, for dates in headers."""
    failure = _judge(_problem(loads(body), status), failures.retry_after(headers, now=now), keys)
    return failures.with_status(failure, status)


def from_event(value: Mapping[str, Any], *, keys: Sequence[str]) -> Failure | None:
    """The failure that an event within a stream tells of, if it does."""
    return None if value.get("error") is None else _judge(_problem(value, 0), None, keys)


def from_whole(body: bytes, *, keys: Sequence[str]) -> Failure | None:
    """The failure that an answer of status 200 tells of all the same, if it does."""
    value = loads(body)
    if isinstance(value, list) and value:
        value = value[0]
    return from_event(value, keys=keys) if isinstance(value, dict) else None


def unsupported(field: str, why: str) -> Failure:
    """A field that the Gemini API has no place for."""
    return failures.unsupported(field, PROVIDER, why)


def invalid(field: str, what: str) -> Failure:
    """A field that cannot be said to the Gemini API as it is."""
    return Failure(reasons.ERROR_REASON_SPEC_INVALID, f"`{field}` {what}.", field=field)


def account() -> Failure:
    """Our account is limited or closed."""
    return failures.credential(_USED_UP)


def _judge(problem: Problem, header: float | None, keys: Sequence[str]) -> Failure:
    status = problem.status
    wait = max((seconds for seconds in (header, problem.wait) if seconds is not None), default=None)
    if problem.reason.startswith("API_KEY_") or (status == 400 and _BAD_KEY.search(problem.message)):
        return failures.credential()
    if _BAD_FILE.search(problem.message) and status in (400, 403):
        return _rejected(problem, keys)
    if problem.word == "FAILED_PRECONDITION":
        return failures.credential(_NOT_HERE)
    if status == 402:
        return account()
    if status in (401, 403):
        return failures.credential()
    if status == 429:
        return _limited(problem, wait)
    if status in (503, 529):
        return failures.overloaded(wait)
    if status >= 500 or status in (408, 409, 425, 499):
        return failures.unavailable(f"answered with HTTP status {status}", http_status=status, retry_after=wait)
    if status >= 400:
        return _rejected(problem, keys)
    return failures.malformed(f"HTTP status {status}, which is followed nowhere; is `base_url` right?")


def _limited(problem: Problem, wait: float | None) -> Failure:
    if problem.quota.nothing:
        return account()
    if problem.quota.daily:  # RetryInfo speaks of the minute even then
        wait = max(wait or 0.0, failures.within_reason(_DAY))
    return failures.rate_limited(wait)


def _rejected(problem: Problem, keys: Sequence[str]) -> Failure:
    said, field = failures.redacted(problem.message, keys), failures.redacted(problem.field, keys)
    if problem.status == 400 and _TOO_LONG.search(said):
        return failures.too_long(said, field)
    return failures.rejected(said, field)


def _problem(value: object, status: int) -> Problem:
    """A stream's error comes as a list of one."""
    if isinstance(value, list) and value:
        value = value[0]
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        return Problem(status or 500, message=words(error))
    word, code = words(error.get("status")), error.get("code")
    if not status and isinstance(code, int) and 400 <= code < 600:
        status = code
    details = error.get("details")
    found = [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []
    return Problem(
        status or _STATUS_OF_WORD.get(word, 500),
        word,
        words(error.get("message")),
        reason=words(_detail(found, "ErrorInfo").get("reason")),
        field=_field(_detail(found, "BadRequest")),
        wait=_wait(_detail(found, "RetryInfo")),
        quota=_quota(_detail(found, "QuotaFailure")),
    )


def _detail(details: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    return next((one for one in details if words(one.get("@type")).endswith(f"google.rpc.{name}")), {})


def _first(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _field(bad_request: Mapping[str, Any]) -> str:
    return next((words(one.get("field")) for one in _first(bad_request.get("fieldViolations"))), "")


def _wait(retry_info: Mapping[str, Any]) -> float | None:
    """A duration in protobuf's JSON: `7s`, `6.5s`."""
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,9})?)s", words(retry_info.get("retryDelay")))
    seconds = float(found[1]) if found else math.nan
    return failures.within_reason(seconds) if math.isfinite(seconds) else None


def _quota(quota_failure: Mapping[str, Any]) -> _Quota:
    violations = _first(quota_failure.get("violations"))
    return _Quota(
        daily=any("PerDay" in words(one.get("quotaId")) for one in violations),
        nothing=any(one.get("quotaValue") in ("0", 0) for one in violations),
    )
