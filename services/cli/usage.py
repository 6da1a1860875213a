"""`hybrid usage`: what was used and what it cost, as a table, CSV or JSON."""

import csv
import datetime
import io
import json
from collections.abc import Sequence
from typing import Any

from hybridinference.gateway.v1 import admin_service_pb2 as admin
from rich.markup import escape
from rich.table import Table

from services.cli.keys import Ask, key_id_of, timestamp
from services.cli.ledger import printable
from services.cli.moments import moment
from services.cli.money import usd
from services.cli.problem import Problem

DIMENSIONS = ("key", "owner", "model", "provider", "day", "hour")
_COUNTS = ("requests", "attempts", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
_HEADS = ("requests", "attempts", "in", "cached", "out", "reasoning")


def question(
    *,
    by: str,
    now: datetime.datetime,
    since: str | None = None,
    until: str | None = None,
    key: str = "",
    owner: str = "",
    model: str = "",
    provider: str = "",
) -> admin.QueryUsageRequest:
    """What the options of `hybrid usage` ask for.

    Raises:
        Problem: naming the option that makes no sense.
    """
    dimensions = [f"USAGE_DIMENSION_{name.upper()}" for name in _names(by)]
    request = admin.QueryUsageRequest(by=dimensions, key_id=key_id_of(key), owner=owner, model=model, provider=provider)
    for field, option, text in (("from", "--from", since), ("until", "--until", until)):
        if text is not None:
            at = moment(text, option, now=now, sign=-1)
            # Sums are kept by the hour: where nobody has said which, it is the one that the moment is in.
            whole = at.replace(minute=0, second=0, microsecond=0)
            getattr(request, field).CopyFrom(timestamp(whole if text[-1] in "smhdw" else at))
    return request


def ask(asker: Ask, request: admin.QueryUsageRequest) -> list[dict[str, Any]]:
    """The sums, each as its dimensions and numbers: `cost_nano_usd` is exact, and so is `cost_usd`, which is text."""
    names = [admin.UsageDimension.Name(each).removeprefix("USAGE_DIMENSION_").lower() for each in request.by]
    answer: admin.QueryUsageResponse = asker("QueryUsage", request)
    return [
        {
            **dict(zip(names, row.values, strict=True)),
            **{name: getattr(row, name) for name in _COUNTS},
            "cost_nano_usd": row.cost_nano_usd,
            "cost_usd": usd(row.cost_nano_usd),
        }
        for row in answer.rows
    ]


def as_json(rows: Sequence[dict[str, Any]]) -> str:
    """For programs."""
    return json.dumps(rows, indent=2)


def as_csv(rows: Sequence[dict[str, Any]], by: str) -> str:
    """For spreadsheets: a line of names, then one for each sum."""
    text = io.StringIO()
    writer = csv.DictWriter(text, (*_names(by), *_COUNTS, "cost_nano_usd", "cost_usd"), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def table(rows: Sequence[dict[str, Any]], by: str) -> Table:
    """For people, with the sum of all below."""
    names = _names(by)
    view = Table(box=None, header_style="bold", footer_style="bold", pad_edge=False, show_footer=bool(names))
    for index, name in enumerate(names):
        view.add_column(name, "" if index else "all", overflow="fold")
    for name, head in zip(_COUNTS, _HEADS, strict=True):
        view.add_column(head, f"{sum(row[name] for row in rows):,}", justify="right", no_wrap=True)
    total = usd(sum(row["cost_nano_usd"] for row in rows))
    view.add_column("USD", total, justify="right", no_wrap=True)
    for row in rows:
        # Nobody's, or of no model that there is: the empty text.
        told = (escape(printable(row[name])) or "-" for name in names)
        view.add_row(*told, *(f"{row[name]:,}" for name in _COUNTS), row["cost_usd"])
    return view


def _names(by: str) -> list[str]:
    names = [name.strip() for name in by.split(",") if name.strip()]
    for name in names:
        if name not in DIMENSIONS:
            raise Problem(f"--by: `{name}` is none of {', '.join(DIMENSIONS)}", code=2)
    return names
