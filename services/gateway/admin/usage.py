"""The question about usage, in SQL that is made of closed sets, and its answer."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
from google.protobuf import timestamp_pb2
from hybridinference.gateway.v1 import admin_service_pb2 as admin
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.gateway.identity import credential as credentials

# More than anybody reads, and far less than a message may hold.
MOST_ROWS = 100_000
_DAYS = 30
_HOUR_SECONDS = 3600
_TEXT_CHARACTERS = 256

_DIMENSIONS = {
    admin.USAGE_DIMENSION_KEY: ("by_key", "key_id"),
    admin.USAGE_DIMENSION_OWNER: ("by_owner", "owner"),
    admin.USAGE_DIMENSION_MODEL: ("by_model", "model"),
    admin.USAGE_DIMENSION_PROVIDER: ("by_provider", "provider"),
    admin.USAGE_DIMENSION_DAY: ("by_day", "(hour AT TIME ZONE 'UTC')::date"),
    admin.USAGE_DIMENSION_HOUR: ("by_hour", "hour"),
}
_FILTERS = ("key_id", "owner", "model", "provider")
_TOKENS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
_SUMS = ("requests", "attempts", *_TOKENS, "cost_nano_usd")
# A request counts where it was served, an attempt where it was made: tokens and money are the attempts', all of them,
# so that what is told of each provider adds up to what is told of all.
_TABLES = {"requests_hourly": _SUMS[:1], "attempts_hourly": _SUMS[1:]}
_WHERE = """
    hour >= $1 AND hour < $2 AND ($3::text[] IS NULL OR owner = ANY($3))
    AND ($4 = '' OR key_id = $4) AND ($5 = '' OR owner = $5) AND ($6 = '' OR model = $6) AND ($7 = '' OR provider = $7)
"""
_ASIDE = {"requests_hourly": "", "attempts_hourly": "AND kind <> 'shadow'"}


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """SQL with its parameters, and what the audit says of it."""

    sql: str
    arguments: tuple[object, ...]
    details: Mapping[str, Any]


def question(request: admin.QueryUsageRequest, *, owners: Sequence[str] | None, now: datetime.datetime) -> Question:
    """What to ask of the database.

    Args:
        request: what an operator asks.
        owners: whose usage it may see; None is everybody's.
        now: with its time zone.

    Raises:
        Failure: SPEC_INVALID, naming the field.
    """
    by = list(request.by)
    for index, dimension in enumerate(by):
        if dimension not in _DIMENSIONS or dimension in by[:index]:
            raise _wrong(f"by[{index}]", "must be a dimension, and each but once")
    if request.key_id and not credentials.ID.fullmatch(request.key_id):
        # Not quoted: it may be a whole credential, by mistake.
        raise _wrong("key_id", "must be the 16 characters between `hi_` and the secret")
    for name in _FILTERS:
        if len(getattr(request, name)) > _TEXT_CHARACTERS or "\0" in getattr(request, name):
            raise _wrong(name, f"must be text of at most {_TEXT_CHARACTERS} characters")
    since = _hour("from", getattr(request, "from")) if request.HasField("from") else _days_before(now)
    until = _hour("until", request.until) if request.HasField("until") else now
    if since >= until:
        raise _wrong("until", "must come after `from`")
    asked = tuple(getattr(request, name) for name in _FILTERS)
    details = {
        "by": [admin.UsageDimension.Name(each).removeprefix("USAGE_DIMENSION_").lower() for each in by],
        "from": since.isoformat(),
        "until": until.isoformat(),
        **{name: value for name, value in zip(_FILTERS, asked, strict=True) if value},
    }
    return Question(_sql([_DIMENSIONS[each] for each in by]), (since, until, owners, *asked), details)


def _sql(by: Sequence[tuple[str, str]]) -> str:
    """The question in SQL: of each table what there is, then both together. All of it is made of our own words."""
    dimensions = [f"{expression} AS {name}" for name, expression in by]
    names = ", ".join(name for name, _ in by)
    grouped = f"GROUP BY {names}" if names else ""
    parts = []
    for table, own in _TABLES.items():
        sums = [f"{f'sum({name})' if name in own else '0'} AS {name}" for name in _SUMS]
        columns = ", ".join((*dimensions, *sums))
        parts.append(f"SELECT {columns} FROM {table} WHERE {_WHERE} {_ASIDE[table]} {grouped}")  # noqa: S608
    total = ", ".join((*filter(None, [names]), *(f"coalesce(sum({name}), 0)::bigint AS {name}" for name in _SUMS)))
    # Without a dimension there is one sum, whatever there was.
    order = f"{grouped} ORDER BY {names}" if names else ""
    return f"SELECT {total} FROM ({' UNION ALL '.join(parts)}) parts {order} LIMIT {MOST_ROWS + 1}"  # noqa: S608


def answer(found: Sequence[asyncpg.Record]) -> admin.QueryUsageResponse:
    """The rows that the database has answered with.

    Raises:
        Failure: SPEC_INVALID: more than an answer has room for.
    """
    if len(found) > MOST_ROWS:
        raise _wrong("by", f"tells apart more than {MOST_ROWS} sums; ask for a shorter time, or for less")
    return admin.QueryUsageResponse(
        rows=[
            admin.UsageRow(
                values=[_told(value) for name, value in row.items() if name not in _SUMS],
                **{name: row[name] for name in _SUMS},
            )
            for row in found
        ]
    )


def _told(value: str | datetime.date | datetime.datetime) -> str:
    if isinstance(value, datetime.datetime):
        return f"{value.astimezone(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
    return value if isinstance(value, str) else value.isoformat()


def _wrong(field: str, what: str) -> Failure:
    return Failure(reasons.ERROR_REASON_SPEC_INVALID, f"`{field}` {what}.", field=field)


def _days_before(now: datetime.datetime) -> datetime.datetime:
    return (now - datetime.timedelta(days=_DAYS)).replace(minute=0, second=0, microsecond=0)


def _hour(field: str, stamp: timestamp_pb2.Timestamp) -> datetime.datetime:
    # Sums are kept by the hour: a part of one cannot be told.
    if stamp.nanos or stamp.seconds % _HOUR_SECONDS:
        raise _wrong(field, "must be a whole hour")
    try:
        return stamp.ToDatetime(tzinfo=datetime.UTC)
    except (ValueError, OverflowError):
        raise _wrong(field, "must be a moment from the year 1 to 9999") from None
