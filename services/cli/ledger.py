"""The ledger's requests, for `hybrid requests` and `hybrid why`."""

import contextlib
import datetime
import json
import re
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
from rich.markup import escape
from rich.table import Table

from services.cli.money import usd

_CONNECT_SECONDS = 5.0
_QUERY_SECONDS = 10.0
# From so many columns on a terminal has room for everything.
_WIDE = 170
_SECONDS_FROM = 10_000
_CLOCK, _DAY = "%H:%M:%S", "%m-%d %H:%M"

_RECENT = """
SELECT generation_id, received_at, model, api, operation, streamed, outcome, error_reason, finish_reasons,
       provider, worker, provider_model, input_tokens, output_tokens, cached_tokens, reasoning_tokens,
       usage_estimated, latency_ms, first_token_ms, attempts, user_label, edge_request_id, trace_id, config_version,
       key_id, owner, cost_nano_usd, price_version, session_label
FROM request_summary
ORDER BY received_at DESC, generation_id DESC
LIMIT $1
"""

_JSON = ("tries", "decision", "refused_by")
_ATTEMPTS = """
SELECT generation_id, attempt_id, number, kind, placed_at, provider, worker, provider_model, strategy, outcome,
       error_reason, input_tokens, output_tokens, cached_tokens, reasoning_tokens, usage_estimated, latency_ms,
       first_token_ms, tries, decision, follows, cost_nano_usd, price_version
FROM attempts
WHERE generation_id = ANY($1::uuid[])
ORDER BY number
"""


_TOLD = """
SELECT generation_id, received_at, first_content_at, ended_at, model, api, operation, streamed, outcome, error_reason,
       finish_reasons, provider, worker, provider_model, input_tokens, output_tokens, cached_tokens, reasoning_tokens,
       usage_estimated, latency_ms, first_token_ms, user_label, edge_request_id, trace_id, config_version,
       estimated_input_tokens, max_output_tokens, refused_by, cardinality(prefix_hashes) AS prefix_blocks,
       key_id, owner, cost_nano_usd, price_version, session_label, gateway_run, placed_at, criticality
FROM requests
WHERE %s
ORDER BY received_at DESC, generation_id
LIMIT 128
"""
# By generation or attempt first, which are found at once. What callers have is looked for in all months, by an index
# that knows where it is not: see requests_ids_of_callers.
_BY_ID = "generation_id = $1::uuid OR generation_id = (SELECT generation_id FROM attempts WHERE attempt_id = $1::uuid)"
_BY_WORD = "edge_request_id = $1 OR trace_id = $1"
# PostgreSQL takes such an index for a bad one where values are as random as these, and would read everything.
_BY_INDEX = "SET LOCAL enable_seqscan = off"
_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)


async def found(dsn: str, identity: str) -> list[dict[str, Any]]:
    """The requests that an id means, each with its attempts in `attempt_list`: one, unless it is an id of the edge's.

    Args:
        dsn: the ledger.
        identity: a generation's id, with whatever a face puts before it; an attempt's; the edge's; or the trace's.

    Raises:
        As `recent`.
    """
    meant = _UUID.search(identity)
    async with reading(dsn) as connection:
        requests = await connection.fetch(_TOLD % _BY_ID, uuid.UUID(meant[0])) if meant else []
        if not requests:
            await connection.execute(_BY_INDEX)
            requests = await connection.fetch(_TOLD % _BY_WORD, identity)
        return await _whole(connection, requests)


async def recent(dsn: str, limit: int) -> list[dict[str, Any]]:
    """The last requests, newest first, each with its attempts in `attempt_list`.

    Values are what JSON has: ids and times are text.

    Raises:
        OSError, TimeoutError: the database does not answer.
        asyncpg.PostgresError: it refuses, or has no ledger (UndefinedTableError).
    """
    async with reading(dsn) as connection:
        return await _whole(connection, await connection.fetch(_RECENT, limit))


@contextlib.asynccontextmanager
async def reading(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that sees one state of the ledger, and changes nothing.

    Raises:
        As `recent`.
    """
    connection = await asyncpg.connect(dsn, timeout=_CONNECT_SECONDS, command_timeout=_QUERY_SECONDS)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection
    finally:
        await connection.close(timeout=_CONNECT_SECONDS)


async def _whole(connection: asyncpg.Connection, requests: Sequence[asyncpg.Record]) -> list[dict[str, Any]]:
    """Requests with their attempts, as plain data."""
    attempts = await connection.fetch(_ATTEMPTS, [request["generation_id"] for request in requests])
    of: dict[uuid.UUID, list[dict[str, Any]]] = {request["generation_id"]: [] for request in requests}
    for attempt in attempts:
        plain = _plain_row(attempt)
        del plain["generation_id"]
        of[attempt["generation_id"]].append(plain)
    return [{**_plain_row(request), "attempt_list": of[request["generation_id"]]} for request in requests]


def _plain_row(row: asyncpg.Record) -> dict[str, Any]:
    # A number of JSON may lose digits with whoever reads it.
    plain = {key: _plain(key, value) for key, value in row.items()}
    return {**plain, "cost_usd": usd(row["cost_nano_usd"])}


def table(rows: Sequence[dict[str, Any]], *, width: int) -> Table:
    """Rows of `recent`, for people. What does not fit into `width` is left out: ids, and the day where it is clear."""
    wide = width >= _WIDE
    view = Table(box=None, header_style="bold", pad_edge=False, collapse_padding=not wide)
    wordy = ("model", "outcome", "owner")
    for name in ("received UTC", "id", *wordy, "worker") if wide else ("UTC", "model", "outcome", "worker"):
        # The longest are the caller's words and reasons: they go on in a second line where they must.
        view.add_column(name, no_wrap=name not in wordy, overflow="fold")
    last = ("first token", "latency", "attempts", "cost USD") if wide else ("first", "latency", "tries")
    for name in ("in", "out", *last):
        view.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        at = datetime.datetime.fromisoformat(row["received_at"])
        same_day = row["received_at"][:10] == rows[0]["received_at"][:10]
        when = (f"{at:%Y-%m-%d %H:%M:%S}", row["generation_id"]) if wide else (f"{at:{_CLOCK if same_day else _DAY}}",)
        view.add_row(
            *when,
            escape(printable(row["model"])),  # what the caller asked for
            _outcome(row, wide=wide),
            *((escape(printable(row["owner"])) or "-",) if wide else ()),
            row["worker"] or "-",
            str(row["input_tokens"]),
            str(row["output_tokens"]),
            _time(row["first_token_ms"]),
            _time(row["latency_ms"]),
            str(row["attempts"]),
            *((row["cost_usd"],) if wide else ()),
        )
    return view


def as_json(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of `recent`, for programs."""
    return json.dumps(rows, indent=2)  # ASCII: there are control characters beyond it, too


def printable(text: str) -> str:
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


def _plain(key: str, value: Any) -> Any:
    if key in _JSON and value is not None:  # asyncpg hands out jsonb as text
        return json.loads(value)
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat(timespec="microseconds")
    return str(value) if isinstance(value, uuid.UUID) else value
