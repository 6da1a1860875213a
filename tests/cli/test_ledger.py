"""The ledger's last requests: newest first, whole, and as plain data."""

import io
import json
import pathlib
from typing import Any

import asyncpg
import pytest
from hybridinference.gateway.v1 import ledger_pb2
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from rich.console import Console

from services.cli import ledger, requests
from services.cli.problem import Problem
from services.gateway.loader.rows import parse
from services.gateway.loader.store import open_store
from tests.gateway.loader.records import TODAY, record
from tests.postgres import Postgres


async def stored(dsn: str, *records: ledger_pb2.LedgerRecord) -> None:
    async with open_store(dsn) as store:
        rows = [parse(one.SerializeToString(), TODAY) for one in records]
        await store.load("00000000-0000-4000-8000-000000000000", "1-a", 0, 1, rows)


def printed(rows: list[dict[str, Any]], *, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(ledger.table(rows, width=width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


async def test_the_newest_come_first_and_no_more_than_asked_for(dsn: str) -> None:
    records = [record(model=f"model-{number}", seconds=number) for number in range(5)]
    await stored(dsn, *records)
    assert [row["model"] for row in await ledger.recent(dsn, 3)] == ["model-4", "model-3", "model-2"]


async def test_a_row_tells_what_a_request_was_and_came_to(dsn: str) -> None:
    made = record(attempts=2)
    await stored(dsn, made)
    [row] = json.loads(ledger.as_json(await ledger.recent(dsn, 10)))
    told = {
        "generation_id": made.request.generation_id,
        "received_at": "2026-09-21T14:13:20.000000+00:00",
        "model": "smollm2",
        "api": "openai",
        "streamed": True,
        "outcome": "success",
        "error_reason": None,
        "provider": "local",
        "worker": "local-0",
        "provider_model": "smollm2-135m-instruct",
        "input_tokens": 40,
        "output_tokens": 8,
        "cached_tokens": 16,
        "reasoning_tokens": 2,
        "latency_ms": 250.0,
        "first_token_ms": 50.0,
        "attempts": 2,
        "key_id": "0123456789abcdef",
        "owner": "search",
        "session_label": "conversation",
        "cost_nano_usd": 2003,
        "cost_usd": "0.000002003",
        "price_version": "fedcba9876543210",
    }
    assert {key: row[key] for key in told} == told
    assert [(one["number"], one["outcome"], one["error_reason"], one["worker"]) for one in row["attempt_list"]] == [
        (1, "error", "WORKER_LOST", "local-0"),
        (2, "success", None, "local-1"),
    ]
    assert row["attempt_list"][0]["first_token_ms"] is None
    assert [(one["cost_usd"], one["follows"]) for one in row["attempt_list"]] == [
        ("0.000001001", None),
        ("0.000001002", made.attempts[0].attempt_id),
    ]


async def test_an_attempt_tells_what_its_provider_was_asked_in_vain(dsn: str) -> None:
    made = record(attempts=2)
    made.attempts[0].tries.add(key=1, reason=reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, http_status=429)
    await stored(dsn, made)
    [row] = json.loads(ledger.as_json(await ledger.recent(dsn, 10)))
    tried = {"key": 1, "reason": "PROVIDER_RATE_LIMITED", "http_status": 429, "ms": 0.0}
    assert [attempt["tries"] for attempt in row["attempt_list"]] == [[tried], []]


async def test_an_empty_ledger_has_no_requests(dsn: str) -> None:
    assert await ledger.recent(dsn, 10) == []


async def test_a_database_without_a_ledger_says_so(postgres: Postgres) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        await ledger.recent(postgres.dsn(), 10)


async def test_a_database_that_is_not_there_is_an_error_at_once(tmp_path: pathlib.Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        await ledger.recent(f"postgresql://postgres@/ledger?host={tmp_path}", 10)


async def test_the_table_shows_worker_tokens_times_and_attempts(dsn: str) -> None:
    failed = record(attempts=0)
    for field in ("worker", "first_content_at"):
        failed.request.ClearField(field)
    failed.request.outcome, failed.request.error_reason = ledger_pb2.OUTCOME_ERROR, "NO_HEALTHY_WORKER"
    failed.request.model = "[red]x"
    await stored(dsn, record(seconds=1), failed)
    header, first, second = printed(await ledger.recent(dsn, 10), width=170)
    assert header.split()[:7] == ["received", "UTC", "id", "model", "outcome", "owner", "worker"]
    numbers = ["40", "8", "50", "ms", "250", "ms", "1", "0.000001001"]
    assert first.split()[3:] == ["smollm2", "success", "search", "local-0", *numbers]
    numbers = ["40", "8", "-", "250", "ms", "0", "0.000000000"]
    assert second.split()[3:] == ["[red]x", "error", "NO_HEALTHY_WORKER", "search", "-", *numbers]


async def test_on_a_narrow_terminal_nothing_that_is_shown_is_cut(dsn: str) -> None:
    failed = record(seconds=1)
    failed.request.outcome, failed.request.error_reason = ledger_pb2.OUTCOME_ERROR, "PROVIDER_OVERLOADED"
    failed.request.ClearField("first_content_at")
    await stored(dsn, record(), failed)
    header, first, second = printed(await ledger.recent(dsn, 10), width=80)
    assert header.split() == ["UTC", "model", "outcome", "worker", "in", "out", "first", "latency", "tries"]
    assert first.split() == ["14:13:21", "smollm2", "PROVIDER_OVERLOADED", "local-0", "40", "8", "-", "250", "ms", "1"]
    assert second.split() == ["14:13:20", "smollm2", "success", "local-0", "40", "8", "50", "ms", "250", "ms", "1"]


async def test_the_day_is_shown_where_it_is_another_and_long_times_in_seconds(dsn: str) -> None:
    await stored(dsn, record(), record(seconds=86_400))
    rows = await ledger.recent(dsn, 10)
    rows[0]["latency_ms"] = 612_345.6
    _, new, old = printed(rows, width=80)
    assert new.split()[:2] == ["14:13:20", "smollm2"]
    assert "612.3 s" in new
    assert old.startswith("09-21 14:13 smollm2")


async def test_a_callers_words_cannot_command_the_terminal(dsn: str) -> None:
    made = record(model="a\x1b[2J\x9b31m\u202eb[red]\r\n")
    made.request.user = "\x1b]0;title\x07\x9bx"
    await stored(dsn, made)
    rows = await ledger.recent(dsn, 10)
    for text in (*printed(rows, width=80), *printed(rows, width=160), *ledger.as_json(rows).splitlines()):
        assert text.isprintable()
    assert json.loads(ledger.as_json(rows))[0]["user_label"] == made.request.user


def test_a_database_that_is_silent_is_told_as_that() -> None:
    async def silent() -> None:
        raise TimeoutError

    with pytest.raises(Problem, match="its database does not answer; `hybrid status`"):
        requests.read(silent())
