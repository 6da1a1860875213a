"""`hybrid why`: what became of a request, and why it went where it went."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from services.cli import candidates
from services.cli.ledger import printable
from services.cli.problem import Problem

_INDENT = (0, 0, 0, 4)
_LABELS = (
    *(("key", "key_id"), ("owner", "owner"), ("session", "session_label"), ("user", "user_label")),
    *(("x-request-id", "edge_request_id"), ("trace", "trace_id"), ("criticality", "criticality")),
)


def require(rows: Sequence[dict[str, Any]], identity: str) -> None:
    """Tell what to do where an id means nothing.

    Raises:
        Problem: there is no such request.
    """
    if not rows:
        raise Problem(
            f"the ledger has no request `{printable(identity)}`: it is written when the request has ended; give the id"
            " of the answer, its x-request-id, an attempt's id or the trace's"
        )


def rendered(rows: Sequence[Mapping[str, Any]]) -> Group:
    """For people: rows of `ledger.found`."""
    return Group(*(part for row in rows for part in _request(row)))


def _request(row: Mapping[str, Any]) -> Iterator[RenderableType]:
    begun = datetime.datetime.fromisoformat(row["received_at"])
    kind = f"{row['operation']} of {printable(row['model'])} through {row['api']}"
    yield Text(f"{row['generation_id']}  {kind}{', streamed' if row['streamed'] else ''}", style="bold")
    yield _line(f"received {begun:%Y-%m-%d %H:%M:%S.%f} UTC; {_ended(row)}")
    yield _line(_asked(row))
    for label, value in _LABELS:
        if row[value]:
            yield _line(f"{label} {printable(row[value])}")
    yield _line(f"cost {_cost(row)}")
    yield _line(f"configuration {row['config_version']}")
    refused = row.get("refused_by")
    if refused:
        yield _line(f"nobody could take it: {_decided(refused)}")
        yield from _candidates(refused)
    elif not row["attempt_list"]:
        yield _line("it was not placed")
    numbers = {attempt["attempt_id"]: attempt["number"] for attempt in row["attempt_list"]}
    for attempt in row["attempt_list"]:
        yield from _attempt(attempt, begun, numbers.get(attempt["follows"]))


def _attempt(attempt: Mapping[str, Any], begun: datetime.datetime, follows: int | None) -> Iterator[RenderableType]:
    placed = datetime.datetime.fromisoformat(attempt["placed_at"])
    after = (placed - begun) / datetime.timedelta(milliseconds=1)
    of = f" of {follows}" if follows else ""
    kind = f" ({attempt['kind']}{of})" if attempt["kind"] else ""
    where = f"{printable(attempt['worker'])}, {printable(attempt['provider'])}/{printable(attempt['provider_model'])}"
    yield Text(f"  attempt {attempt['number']}{kind}: {where}")
    yield _line(f"placed after {_ms(after)}; {_ended(attempt)}; cost {_cost(attempt)}")
    for one in attempt["tries"]:
        status = f", HTTP {one['http_status']}" if one["http_status"] else ""
        yield _line(f"asked in vain with key {one['key']}: {one['reason']}{status}, {_ms(one['ms'])}")
    decision = attempt.get("decision")
    if decision is None:
        yield _line(f"why: {_alone(attempt)}")
        return
    yield _line(f"why: {_decided(decision)}")
    yield from _candidates(decision)


def _alone(attempt: Mapping[str, Any]) -> str:
    if attempt["strategy"] == "fallback":
        return "the gateway chose by itself, without a router"
    return "the share of a shadow route" if attempt["kind"] == "shadow" else "nothing is known"


def _decided(decision: Mapping[str, Any]) -> str:
    out = candidates.ruled_out(decision["ruled_out"])
    counted = f"{decision['strategy']}, {decision['eligible']} of {decision['targets']} targets eligible"
    return f"{counted}; ruled out: {out}" if out else counted


def _candidates(decision: Mapping[str, Any]) -> Iterator[RenderableType]:
    if decision["candidates"]:
        yield Padding(candidates.table(decision["candidates"]), _INDENT, expand=False)


def _asked(row: Mapping[str, Any]) -> str:
    limit = f"at most {row['max_output_tokens']} of answer" if row["max_output_tokens"] else "no limit of the answer"
    asked = f"asked: about {row['estimated_input_tokens']} tokens of prompt, {limit}"
    used = f"used{' (estimated)' if row['usage_estimated'] else ''}: {row['input_tokens']} tokens of prompt"
    cached = f", {row['cached_tokens']} of them cached" if row["cached_tokens"] else ""
    return f"{asked}; {used}{cached}, {row['output_tokens']} of answer"


def _ended(row: Mapping[str, Any]) -> str:
    first = "no content" if row["first_token_ms"] is None else f"first content after {_ms(row['first_token_ms'])}"
    reason = f" {row['error_reason']}" if row["error_reason"] else ""
    whole = "not ended" if row["latency_ms"] is None else f"ended after {_ms(row['latency_ms'])}"
    return f"{first}; {whole}: {row['outcome']}{reason}"


def _cost(row: Mapping[str, Any]) -> str:
    priced = f" by prices {row['price_version']}" if row["price_version"] else ""
    return f"{row['cost_usd']} USD{priced}"


def _line(text: str) -> Padding:
    return Padding(Text(text), _INDENT, expand=False)


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.1f} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:,.1f} s"
