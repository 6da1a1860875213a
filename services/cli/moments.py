"""Moments and spans of time as people write them."""

import datetime
import re

from services.cli.problem import Problem

_SPAN = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def span(text: str, option: str) -> datetime.timedelta:
    """`90s`, `15m`, `24h`, `30d` or `2w`.

    Raises:
        Problem: it is none of these, naming the option.
    """
    found = _span(text)
    if found is None:
        raise Problem(f"{option}: `{text}` is no span of time, such as 15m, 24h or 30d", code=2)
    return found


def moment(text: str, option: str, *, now: datetime.datetime, sign: int) -> datetime.datetime:
    """A date or a moment in ISO 8601, in UTC where it does not say otherwise, or a span from now.

    Args:
        text: what was written.
        option: where.
        now: with its time zone.
        sign: 1 for a span into the future, -1 for one into the past.

    Raises:
        Problem: it is none of these, naming the option.
    """
    away = _span(text)
    try:
        if away is not None:
            return now + sign * away
        found = datetime.datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=datetime.UTC)).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        raise Problem(
            f"{option}: `{text}` is no moment: 2027-01-31, 2027-01-31T12:00Z, or a span such as 30d", code=2
        ) from None


def _span(text: str) -> datetime.timedelta | None:
    found = _SPAN.fullmatch(text)
    return datetime.timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None
