"""What a vendor's rate limits leave, as the headers of its answers tell."""

import dataclasses
import datetime
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from services.workers.vendor import failures

UNITS = ("requests", "tokens")
# Where a vendor does not say when a limit is whole again: most are per minute.
_USUAL_RESET = 60.0
# What has run out is asked for again no sooner, unless it is whole before.
_SHORTEST_REST = 1.0
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d*)?)s)?(?:(\d+(?:\.\d*)?)ms)?")
_SECONDS = (86_400.0, 3_600.0, 60.0, 1.0, 1e-3)
# No duration is as long: a number beyond is a time of day, in seconds or in milliseconds since 1970.
_SINCE_1970, _MILLISECONDS = 1e9, 1e11
_MOST = 1 << 63


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What one answer said of one limit; `reset_after` in seconds, until all of it is back."""

    unit: str
    limit: int
    remaining: int
    reset_after: float


@dataclasses.dataclass(frozen=True, slots=True)
class Rate:
    """What is known of one limit of one key, with moments on the clock of whoever keeps it."""

    limit: int
    remaining: int
    whole_at: float
    next_at: float


class Headroom:
    """The limits of one key, as last heard. What is known of a limit ends when it is whole again."""

    def __init__(self) -> None:
        self._rates: dict[str, Rate] = {}

    def hear(self, readings: Iterable[Reading], *, now: float) -> None:
        """Take what an answer said."""
        for reading in readings:
            # Where tokens and requests come back evenly, as with OpenAI, the next is there long before all are.
            rest = max(reading.reset_after / max(reading.limit, 1), _SHORTEST_REST)
            self._rates[reading.unit] = Rate(
                limit=reading.limit,
                remaining=reading.remaining,
                whole_at=now + reading.reset_after,
                next_at=now + min(rest, reading.reset_after),
            )

    def rate(self, unit: str, *, now: float) -> Rate | None:
        """What is known of a limit now."""
        rate = self._rates.get(unit)
        return rate if rate is not None and rate.whole_at > now else None

    def spent_until(self, *, now: float) -> float:
        """When all of what has run out is back; -inf where something is left of every limit."""
        return max((rate.whole_at for rate in self._run_out(now)), default=-math.inf)

    def next_at(self, *, now: float) -> float:
        """When something of what has run out may be back; -inf as above."""
        return max((rate.next_at for rate in self._run_out(now)), default=-math.inf)

    def _run_out(self, now: float) -> list[Rate]:
        rates = (self.rate(unit, now=now) for unit in UNITS)
        return [rate for rate in rates if rate is not None and not rate.remaining]


def readings(headers: Mapping[str, str], *, now: float) -> list[Reading]:
    """What `x-ratelimit-*` headers say; `now` is the time of day. What makes no sense is left out."""
    found = []
    for unit in UNITS:
        limit = _count(headers.get(f"x-ratelimit-limit-{unit}", ""))
        remaining = _count(headers.get(f"x-ratelimit-remaining-{unit}", ""))
        if remaining is None or not limit:
            continue
        reset = seconds_until(headers.get(f"x-ratelimit-reset-{unit}", ""), now=now)
        found.append(Reading(unit, limit, min(remaining, limit), _USUAL_RESET if reset is None else reset))
    return found


def seconds_until(text: str, *, now: float) -> float | None:
    """A duration (`6m0s`, `12ms`), seconds, seconds or milliseconds since 1970, or a date; else None."""
    text = text.strip()
    match = _DURATION.fullmatch(text)
    if match is not None and any(match.groups()):
        parts = zip(match.groups(), _SECONDS, strict=True)
        return failures.within_reason(sum(float(number) * unit for number, unit in parts if number))
    try:
        number = float(text)
    except ValueError:
        number = _date(text)
    if number > _SINCE_1970:
        number = (number * 1e-3 if number > _MILLISECONDS else number) - now
    return failures.within_reason(number) if math.isfinite(number) else None


def total(rates: Sequence[Rate], *, now: float) -> Reading | None:
    """What several keys have together, but for the unit; whole once the last is."""
    if not rates:
        return None
    return Reading(
        unit="",
        limit=min(sum(rate.limit for rate in rates), _MOST),
        remaining=min(sum(rate.remaining for rate in rates), _MOST),
        reset_after=max(rate.whole_at for rate in rates) - now,
    )


def _count(text: str) -> int | None:
    """A count that was said; Azure says -1 where it does not know."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if 0 <= number < _MOST else None


def _date(text: str) -> float:
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return math.nan
