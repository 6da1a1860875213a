"""What goes wrong with a vendor, as failures that somebody can act on.

None of them names the provider: whoever runs the attempt knows it, and adds it.
"""

import email.utils
import math
import re
from collections.abc import Mapping, Sequence

from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.inference.text import valid_text

LONGEST_MESSAGE = 500
# A vendor that says "never again" is asked again after an hour.
_LONGEST_RETRY_AFTER = 3600.0
_SOON = 1.0
# What looks like a key, whosever it is, masked ones included.
_KEY = re.compile(r"\b(?:sk|rk|pk|gsk|xai)-[\w*.-]{6,}|\bAIza[\w*.-]{6,}|(?i:bearer)\s+\S{8,}")


class Answered(Failure):
    """A failure that the vendor itself answered, and with which HTTP status: kept with the tries of an attempt."""

    http_status = 0


def with_status(failure: Failure, http_status: int) -> Failure:
    """The same failure, which also knows the HTTP status."""
    answered = Answered(failure.reason, failure.message, retry_after=failure.retry_after, metadata=failure.metadata)
    answered.http_status = http_status
    return answered


def malformed(what: str) -> Failure:
    """The answer cannot be understood: `what` came instead."""
    return Failure(reasons.ERROR_REASON_PROVIDER_MALFORMED, f"The provider sent {what}.")


def unavailable(what: str, *, http_status: int = 0, retry_after: float | None = None) -> Failure:
    """The server cannot be reached, or failed by itself."""
    shown = {"http_status": str(http_status)} if http_status else {}
    return Failure(
        reasons.ERROR_REASON_PROVIDER_UNAVAILABLE, f"The provider {what}.", retry_after=retry_after, metadata=shown
    )


def overloaded(retry_after: float | None) -> Failure:
    """The server has too much to do."""
    wait = _SOON if retry_after is None else retry_after
    return Failure(reasons.ERROR_REASON_PROVIDER_OVERLOADED, "The provider is overloaded.", retry_after=wait)


def saturated() -> Failure:
    """Each of our keys has as much to do as its vendor bears."""
    return Failure(
        reasons.ERROR_REASON_WORKER_SATURATED,
        "Every key of this worker has as much to do as it bears.",
        retry_after=_SOON,
    )


def rate_limited(retry_after: float | None) -> Failure:
    """The rate limit of our key is used up."""
    wait = _SOON if retry_after is None else retry_after
    return Failure(
        reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, "The provider's rate limit is used up.", retry_after=wait
    )


def credential(message: str = "The provider refused our credential.", *, retry_after: float | None = None) -> Failure:
    """The server does not take our key, or our account is used up."""
    return Failure(reasons.ERROR_REASON_PROVIDER_CREDENTIAL, message, retry_after=retry_after)


def policy() -> Failure:
    """The provider does not want to answer this."""
    return Failure(reasons.ERROR_REASON_CONTENT_POLICY, "The provider's content policy refused the request.")


def rejected(said: str, field: str = "") -> Failure:
    """The server finds fault with the request; `said` and `field` in its own words, without secrets."""
    message = f"The provider rejected the request: {said}" if said else "The provider rejected the request."
    return Failure(reasons.ERROR_REASON_PROVIDER_REJECTED, message, metadata={"field": field} if field else {})


def too_long(said: str, field: str = "") -> Failure:
    """Prompt and answer do not fit the model."""
    message = f"The provider rejected the request: {said}" if said else "The provider finds the request too long."
    return Failure(reasons.ERROR_REASON_CONTEXT_TOO_LONG, message, field=field or "messages")


def truncated() -> Failure:
    """The stream has ended and the answer has not."""
    return Failure(reasons.ERROR_REASON_TRUNCATED, "The provider ended without saying how the answer ended.")


def late(stage: str, seconds: float) -> Failure:
    """A wait that was too long."""
    return Failure(
        reasons.ERROR_REASON_DEADLINE_EXCEEDED,
        f"The provider took more than {seconds:g} seconds ({stage}).",
        stage=stage,
    )


def unsupported(field: str, provider: str, why: str) -> Failure:
    """A field that this kind of provider is not sent."""
    message = f"`{field}` is not supported by {provider}: {why}."
    return Failure(reasons.ERROR_REASON_UNSUPPORTED, message, field=field, provider=provider)


def retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Seconds to wait, as `retry-after-ms` or `retry-after` say: a number, or a date; `now` is the time of day."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        if not text:
            continue
        try:
            seconds = float(text) * unit
        except ValueError:
            seconds = _until(text, now)
        if math.isfinite(seconds):
            return within_reason(seconds)
    return None


def within_reason(seconds: float) -> float:
    """A wait that a vendor names, no longer than is worth believing."""
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)


def redacted(text: str, keys: Sequence[str]) -> str:
    """A vendor's words without our keys, or what looks like one, and not too many."""
    for key in keys:
        if len(key) >= 8:  # `none` is no secret, and a word
            text = text.replace(key, "[key]")
    return valid_text(_KEY.sub("[key]", text)[:LONGEST_MESSAGE])


def _until(date: str, now: float) -> float:
    try:
        return email.utils.parsedate_to_datetime(date).timestamp() - now
    except (TypeError, ValueError, OverflowError):
        return math.nan
