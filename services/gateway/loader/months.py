"""Months of the ledger, UTC: which there have to be, and which may go."""

import datetime
from collections.abc import Iterable


def ahead(now: datetime.datetime, months: int) -> list[datetime.datetime]:
    """The beginning of this month and of so many after it."""
    return [_beginning(_number(now) + more) for more in range(months + 1)]


def kept_from(now: datetime.datetime, retention_months: int) -> datetime.datetime:
    """The beginning of the oldest month that is kept: so many whole months after its own."""
    return _beginning(_number(now) - retention_months)


def over(names: Iterable[str], kept: datetime.datetime) -> list[tuple[str, ...]]:
    """Of partitions those that end where `kept` begins or before, oldest first, those of one month together.

    Args:
        names: such as `requests_202611`. Others are none of a month, and are left alone.
        kept: the beginning of a month.
    """
    months: dict[str, list[str]] = {}
    for name in names:
        suffix = name.rpartition("_")[2]
        if len(suffix) == 6 and suffix.isascii() and suffix.isdigit() and suffix < f"{kept:%Y%m}":
            months.setdefault(suffix, []).append(name)
    # Requests before attempts, in which order the loader comes to them, too: nobody waits in a circle.
    return [tuple(sorted(months[month], reverse=True)) for month in sorted(months)]


def _number(moment: datetime.datetime) -> int:
    utc = moment.astimezone(datetime.UTC)
    return utc.year * 12 + utc.month - 1


def _beginning(number: int) -> datetime.datetime:
    return datetime.datetime(number // 12, number % 12 + 1, 1, tzinfo=datetime.UTC)
