"""Failures in OpenAI's words, which services/chassis/register.py has for each reason."""

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any

import orjson

from services.chassis import register
from services.chassis.failure import Failure
from services.gateway import hints

# A client told to come back later than this is as good as told never to.
_LONGEST_RETRY_AFTER_SECONDS = 86_400

# The spec's names of what OpenAI calls otherwise.
_PARAMS = {"choices": "n", "max_output_tokens": "max_completion_tokens", "logprobs.top": "top_logprobs"}
_NESTED = (
    (re.compile(r"^inputs\b"), "input"),
    (re.compile(r"^(messages\[\d+\])\.parts\b"), r"\1.content"),
    (re.compile(r"^(tools\[\d+\])\.(name|parameters)(_json)?$"), r"\1.function.\2"),
)


# What is said of the route in a message is said in headers here.
_HEADERS = {hints.FIELDS[name]: header for name, header in hints.HEADERS.items()}

# What a caller calls a field of the spec.
ParamOf = Callable[[str], str]


def param_of(field: str) -> str:
    """What an OpenAI client calls it: `sampling.seed` is `seed`, `messages[0].parts[1]` is `messages[0].content[1]`."""
    for pattern, theirs in _NESTED:
        field = pattern.sub(theirs, field)
    return _PARAMS.get(field, field.removeprefix("sampling.").removeprefix("provider_options_json."))


@dataclasses.dataclass(frozen=True, slots=True)
class ErrorReply:
    """A failure before the first byte: the HTTP status, extra headers, and a JSON body."""

    http_status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def render(failure: Failure, param_of: ParamOf = param_of) -> ErrorReply:
    """The answer to a request that failed."""
    row = register.row_of(failure.reason)
    headers: list[tuple[str, str]] = []
    # A 503 says when to come back; where nobody knows, soon.
    seconds = 1.0 if failure.retry_after is None and row.http == 503 and not row.final else failure.retry_after
    if seconds is not None:
        whole = max(1, math.ceil(min(seconds, _LONGEST_RETRY_AFTER_SECONDS)))
        headers.append(("retry-after", str(whole)))
    if row.final:
        headers.append(("x-should-retry", "false"))
    return ErrorReply(row.http, tuple(headers), _body(failure, param_of))


def event(failure: Failure, param_of: ParamOf = param_of) -> bytes:
    """The event that ends a stream which failed after it had begun. SDKs raise on it; nothing else tells them."""
    return b"data: " + _body(failure, param_of) + b"\n\n"


def told(failure: Failure, param_of: ParamOf = param_of) -> dict[str, Any]:
    """The `error` object: a message, a type, a code, and the parameter at fault in the caller's words."""
    row = register.row_of(failure.reason)
    field = failure.metadata.get("field", "")
    param = _HEADERS.get(field) or param_of(field)
    message = failure.message.replace(f"`{field}`", f"`{param}`") if field else failure.message
    error = {"message": message, "type": row.type, "param": param or None, "code": row.code}
    # A lone surrogate in a vendor's text: telling the failure must not fail.
    return {key: value and value.encode("utf-8", "replace").decode() for key, value in error.items()}


def status(failure: Failure) -> int:
    """The HTTP status of a failure."""
    return register.row_of(failure.reason).http


def _body(failure: Failure, param_of: ParamOf) -> bytes:
    return orjson.dumps({"error": told(failure, param_of)})
