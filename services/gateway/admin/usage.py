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
    admin.USAGE_DIMENSION_DAY: ("by_day", "to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD')"),
    admin.USAGE_DIMENSION_HOUR: ("by_hour", """to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""),
}
_FILTERS = ("key_id", "owner", "model", "provider")
_SUMS = (
    *("requests", "attempts", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "cost_nano_usd"),
)
_SHARED = "hour, key_id, owner, model, provider"
# A request counts where it was served, an attempt where it was made: tokens and money are the attempts', all of them,
# so that what is told of each provider adds up to what is told of all.
_HOURS = f"""
    SELECT {_SHARED}, requests, 0 AS attempts, 0 AS input_tokens, 0 AS cached_tokens, 0 AS output_tokens,
        0 AS reasoning_tokens, 0 AS cost_nano_usd
    FROM requests_hourly
    UNION ALL
    SELECT {_SHARED}, 0, attempts, input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_nano_usd
    FROM attempts_hourly WHERE kind <> 'shadow'
"""  # noqa: S608 (constants)
_WHERE = """
    hour >= $1 AND hour < $2 AND ($3::text[] IS NULL OR owner = ANY($3))
    AND ($4 = '' OR key_id = $4) AND ($5 = '' OR owner = $5) AND ($6 = '' OR model = $6) AND ($7 = '' OR provider = $7)
"""


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
    columns = [f"{expression} AS {name}" for name, expression in (_DIMENSIONS[each] for each in by)]
    sums = [f"coalesce(sum({name}), 0)::bigint AS {name}" for name in _SUMS]
    names = ", ".join(_DIMENSIONS[each][0] for each in by)
    # Without a dimension there is one sum, whatever there was.
    order = f"GROUP BY {names} ORDER BY {names}" if names else ""
    sql = (
        f"SELECT {', '.join((*columns, *sums))} FROM ({_HOURS}) hours WHERE {_WHERE} {order} "  # noqa: S608
        f"LIMIT {MOST_ROWS + 1}"
    )
    asked = tuple(getattr(request, name) for name in _FILTERS)
    details = {
        "by": [admin.UsageDimension.Name(each).removeprefix("USAGE_DIMENSION_").lower() for each in by],
        "from": since.isoformat(),
        "until": until.isoformat(),
        **{name: value for name, value in zip(_FILTERS, asked, strict=True) if value},
    }
    return Question(sql, (since, until, owners, *asked), details)


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
                values=[value for name, value in row.items() if name not in _SUMS],
                **{name: row[name] for name in _SUMS},
            )
            for row in found
        ]
    )


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
