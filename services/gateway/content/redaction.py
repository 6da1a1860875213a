"""Takes out of a text, or of JSON, what looks like a secret or a person's data."""

import json
import math
from collections.abc import Callable, Iterable
from typing import Any

from services.gateway.content import credentials, persons
from services.gateway.content.credentials import Span

# In this order: what holds others comes first.
_FINDERS: tuple[Callable[[str], Iterable[Span]], ...] = (
    credentials.blocks,
    credentials.tokens,
    credentials.keys,
    credentials.bearers,
    credentials.named,
    persons.mails,
    persons.accounts,
    persons.cards,
    persons.phones,
)
# What is taken out may leave something beside it that looks like more. Never so often in what anybody writes.
_MOST_PASSES = 4
_ALL_OF_IT = "[redacted]"


def redact(text: str) -> str:
    """The text with labels such as `[email]` in place of what was taken out.

    Takes time in proportion to the length, whatever the text. Doing it again changes nothing.
    """
    for _ in range(_MOST_PASSES):
        before = text
        for find in _FINDERS:
            text = _without(text, find(text))
        if text == before:
            return text
    return _ALL_OF_IT


def redact_json(text: str) -> str:
    """The same of JSON, member by member: names and values, numbers too. What is no JSON is taken as text."""
    try:
        value = json.loads(text, parse_float=_finite, parse_constant=str)
        return json.dumps(_redacted(value), ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):  # broken off, too deep, or a number too long
        return redact(text)


def _without(text: str, spans: Iterable[Span]) -> str:
    pieces: list[str] = []
    last = 0
    for start, end, label in sorted(spans):
        if start >= last:
            pieces += (text[last:start], label)
            last = end
    return "".join((*pieces, text[last:])) if pieces else text


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [_redacted(item) for item in value]
    if isinstance(value, dict):
        return _members(value)
    if isinstance(value, int) and not isinstance(value, bool) and persons.is_card(str(value)):
        return "[card]"
    return value


def _members(members: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in members.items():
        secret = credentials.names_secret(name) and isinstance(value, str | int | float) and not isinstance(value, bool)
        redacted = known = redact(name)
        number = 2
        while known in made:  # two names of which the same is left
            known = f"{redacted} {number}"
            number += 1
        made[known] = "[secret]" if secret else _redacted(value)
    return made


def _finite(text: str) -> float | str:
    value = float(text)
    return value if math.isfinite(value) else text
