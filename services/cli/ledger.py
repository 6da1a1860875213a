"""The ledger's last requests, for `hybrid requests`."""

import datetime
import json
import uuid
from collections.abc import Sequence
from typing import Any

import asyncpg
from rich.markup import escape
from rich.table import Table

_CONNECT_SECONDS = 5.0
_QUERY_SECONDS = 10.0
# From so many columns on a terminal has room for everything.
_WIDE = 150
_SECONDS_FROM = 10_000
_CLOCK, _DAY = "%H:%M:%S", "%m-%d %H:%M"

_RECENT = """
SELECT generation_id, received_at, model, api, operation, streamed, outcome, error_reason, finish_reasons,
       provider, worker, provider_model, input_tokens, output_tokens, cached_tokens, reasoning_tokens,
       usage_estimated, latency_ms, first_token_ms, attempts, user_label, edge_request_id, trace_id, config_version
FROM request_summary
ORDER BY received_at DESC, generation_id DESC
LIMIT $1
"""

_ATTEMPTS = """
SELECT generation_id, attempt_id, number, placed_at, provider, worker, provider_model, strategy, outcome, error_reason,
       input_tokens, output_tokens, cached_tokens, reasoning_tokens, usage_estimated, latency_ms, first_token_ms, tries
FROM attempts
WHERE generation_id = ANY($1::uuid[])
ORDER BY number
"""


async def recent(dsn: str, limit: int) -> list[dict[str, Any]]:
    """The last requests, newest first, each with its attempts in `attempt_list`.

    Values are what JSON has: ids and times are text.

    Raises:
        OSError, TimeoutError: the database does not answer.
        asyncpg.PostgresError: it refuses, or has no ledger (UndefinedTableError).
    """
    connection = await asyncpg.connect(dsn, timeout=_CONNECT_SECONDS, command_timeout=_QUERY_SECONDS)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            requests = await connection.fetch(_RECENT, limit)
            attempts = await connection.fetch(_ATTEMPTS, [request["generation_id"] for request in requests])
    finally:
        await connection.close(timeout=_CONNECT_SECONDS)
    of: dict[uuid.UUID, list[dict[str, Any]]] = {request["generation_id"]: [] for request in requests}
    for attempt in attempts:
        plain = {key: _plain(value) for key, value in attempt.items() if key != "generation_id"}
        plain["tries"] = json.loads(attempt["tries"])  # asyncpg hands out jsonb as text
        of[attempt["generation_id"]].append(plain)
    return [
        {**{key: _plain(value) for key, value in request.items()}, "attempt_list": of[request["generation_id"]]}
        for request in requests
    ]


def table(rows: Sequence[dict[str, Any]], *, width: int) -> Table:
    """Rows of `recent`, for people. What does not fit into `width` is left out: ids, and the day where it is clear."""
    wide = width >= _WIDE
    view = Table(box=None, header_style="bold", pad_edge=False, collapse_padding=not wide)
    for name in ("received UTC", "id", "model", "outcome", "worker") if wide else ("UTC", "model", "outcome", "worker"):
        # The longest are the caller's words and reasons: they go on in a second line where they must.
        view.add_column(name, no_wrap=name not in ("model", "outcome"), overflow="fold")
    for name in ("in", "out", *(("first token", "latency", "attempts") if wide else ("first", "latency", "tries"))):
        view.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        at = datetime.datetime.fromisoformat(row["received_at"])
        same_day = row["received_at"][:10] == rows[0]["received_at"][:10]
        when = (f"{at:%Y-%m-%d %H:%M:%S}", row["generation_id"]) if wide else (f"{at:{_CLOCK if same_day else _DAY}}",)
        view.add_row(
            *when,
            escape(_printable(row["model"])),  # what the caller asked for
            _outcome(row, wide=wide),
            row["worker"] or "-",
            str(row["input_tokens"]),
            str(row["output_tokens"]),
            _time(row["first_token_ms"]),
            _time(row["latency_ms"]),
            str(row["attempts"]),
        )
    return view


def as_json(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of `recent`, for programs."""
    return json.dumps(rows, indent=2)  # ASCII: there are control characters beyond it, too


def _printable(text: str) -> str:
    """Text of a caller, as a terminal may see it: an escape sequence could rewrite what stands there."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _outcome(row: dict[str, Any], *, wide: bool) -> str:
    if row["outcome"] == "success":
        return "success"
    reason = escape(row["error_reason"] or "")
    if reason and not wide:
        return f"[red]{reason}[/]"
    return f"[red]{row['outcome']}[/] {reason}".rstrip()


def _time(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "-"
    return f"{milliseconds:.0f} ms" if milliseconds < _SECONDS_FROM else f"{milliseconds / 1000:,.1f} s"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat(timespec="microseconds")
    return str(value) if isinstance(value, uuid.UUID) else value
