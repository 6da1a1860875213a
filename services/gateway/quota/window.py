"""Periods of limits: a minute, a day or a month by the clock, UTC."""

import datetime
import math
from typing import Literal, NamedTuple

Measure = Literal["requests", "tokens", "concurrency", "usd_day", "usd_month"]
BUDGETS: tuple[Measure, ...] = ("usd_day", "usd_month")

MINUTE = 60
DAY = 86_400


class Period(NamedTuple):
    """From `start`, in whole seconds since 1970, up to but without `end`."""

    start: int
    end: float


# A slot is taken and given back: it has no period.
ALWAYS = Period(0, math.inf)


def period_of(measure: Measure, at: float) -> Period:
    """The period in which a limit counts what happens at that time, seconds since 1970."""
    if measure == "concurrency":
        return ALWAYS
    if measure == "usd_month":
        return _month(at)
    length = DAY if measure == "usd_day" else MINUTE
    start = int(at // length) * length
    return Period(start, start + length)


def moment(seconds: float) -> datetime.datetime:
    """A time since 1970 as a moment, UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _month(at: float) -> Period:
    now = moment(math.floor(at))  # a moment rounds to microseconds, and might be of the next month
    first = datetime.datetime(now.year, now.month, 1, tzinfo=datetime.UTC)
    following = datetime.datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=datetime.UTC)
    return Period(int(first.timestamp()), int(following.timestamp()))
