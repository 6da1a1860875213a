"""`hybrid why`: a request is found by any id of it, and told from its first attempt to its last."""

import io
import json

import pytest
from hybridinference.gateway.v1 import ledger_pb2
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from rich.console import Console

from services.cli import ledger, why
from services.cli.problem import Problem
from services.gateway.loader.rows import parse
from services.gateway.loader.store import open_store
from tests.gateway.loader.records import TODAY, record


async def stored(dsn: str, *records: ledger_pb2.LedgerRecord) -> None:
    async with open_store(dsn) as store:
        rows = [parse(one.SerializeToString(), TODAY) for one in records]
        await store.load("00000000-0000-4000-8000-000000000000", "1-a", 0, 1, rows)


def now(made: ledger_pb2.LedgerRecord) -> ledger_pb2.LedgerRecord:
    """The same, but recent."""
    made.request.received_at.GetCurrentTime()
    return made


def shown(rows: object) -> list[str]:
    console = Console(file=io.StringIO(), width=300)
    console.print(why.rendered(rows))  # type: ignore[arg-type]
    assert isinstance(console.file, io.StringIO)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


async def test_a_request_is_found_by_any_id_of_it(dsn: str) -> None:
    made = now(record(attempts=2))
    await stored(dsn, made, now(record()))
    request = made.request
    whole = request.generation_id
    for identity in (
        whole, f"chatcmpl-{whole}", f"resp_{whole}", whole.replace("-", "").upper(),
        made.attempts[1].attempt_id, request.edge_request_id,
    ):  # fmt: skip
        assert [row["generation_id"] for row in await ledger.found(dsn, identity)] == [whole], identity
    assert len(await ledger.found(dsn, request.trace_id)) == 2, "a trace may have several requests"


async def test_what_callers_have_is_found_without_reading_every_request(dsn: str) -> None:
    async with ledger.reading(dsn) as connection:
        await connection.execute(ledger._BY_INDEX)
        plan = await connection.fetch(f"EXPLAIN SELECT * FROM requests WHERE {ledger._BY_WORD}".replace("$1", "'x'"))
    nodes = [row[0] for row in plan if " on " in row[0] or " using " in row[0]]
    assert not [node for node in nodes if "Seq Scan" in node]
    assert (
        sum("Bitmap Index Scan" in node for node in nodes) == sum("Bitmap Heap Scan" in node for node in nodes) * 2 > 0
    )


async def test_what_is_not_there_is_told_with_what_to_give(dsn: str) -> None:
    for identity in ("nothing", "00000000-0000-4000-8000-000000000000", "'; DROP TABLE requests; --", "\x1b[31m"):
        rows = await ledger.found(dsn, identity)
        with pytest.raises(Problem, match="x-request-id") as caught:
            why.require(rows, identity)
        assert "\x1b" not in str(caught.value)


async def test_attempts_are_told_with_times_reasons_and_terms(dsn: str) -> None:
    made = record(attempts=2)
    made.request.estimated_input_tokens, made.request.max_output_tokens = 38, 256
    made.attempts[1].kind = "retry"
    made.attempts[1].decision.candidates.add(worker="local-3", provider="local", score=1.5)
    made.attempts[0].tries.add(key=1, reason=reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, http_status=429)
    await stored(dsn, made)
    lines = shown(await ledger.found(dsn, made.request.generation_id))
    priced = "USD by prices fedcba9876543210"
    assert lines == [
        f"{made.request.generation_id} chat of smollm2 through openai, streamed",
        "received 2026-09-21 14:13:20.000000 UTC; first content after 50.0 ms; ended after 250.0 ms: success",
        (
            "asked: about 38 tokens of prompt, at most 256 of answer; "
            "used: 40 tokens of prompt, 16 of them cached, 8 of answer"
        ),
        "key 0123456789abcdef",
        "owner search",
        "session conversation",
        "user someone",
        f"x-request-id {made.request.edge_request_id}",
        f"trace {made.request.trace_id}",
        "criticality sheddable_plus",
        f"cost 0.000002003 {priced}",
        "configuration 0123456789ab",
        "attempt 1: local-0, local/smollm2-135m-instruct",
        f"placed after 0.0 ms; no content; ended after 250.0 ms: error WORKER_LOST; cost 0.000001001 {priced}",
        "asked in vain with key 1: PROVIDER_RATE_LIMITED, HTTP 429, 0.0 ms",
        "why: least_loaded, 2 of 4 targets eligible; ruled out: health 2",
        "worker provider model role score terms, or what rules it out",
        "local-0 local smollm2-135m-instruct primary 0.5 generations 3",
        "attempt 2 (retry of 1): local-1, local/smollm2-135m-instruct",
        f"placed after 0.0 ms; first content after 50.0 ms; ended after 250.0 ms: success; cost 0.000001002 {priced}",
        "why: least_loaded, 2 of 4 targets eligible; ruled out: health 2",
        "worker provider model role score terms, or what rules it out",
        "local-1 local smollm2-135m-instruct primary 0.5 generations 3",
        "local-3 local - - 1.5",
    ]


async def test_a_shadow_went_where_its_share_says(dsn: str) -> None:
    made = record(attempts=2)
    made.attempts[1].kind = "shadow"
    made.attempts[1].ClearField("decision")
    await stored(dsn, made)
    assert shown(await ledger.found(dsn, made.request.generation_id))[-1] == "why: the share of a shadow route"


async def test_a_refusal_is_told_with_what_ruled_everybody_out(dsn: str) -> None:
    made = record(attempts=0)
    made.request.outcome, made.request.error_reason = ledger_pb2.OUTCOME_SHED, "FLEET_SATURATED"
    refused = made.request.refused_by
    refused.strategy, refused.targets = "adaptive", 3
    refused.ruled_out["full"], refused.ruled_out["max_cost"] = 1, 2
    await stored(dsn, made)
    rows = await ledger.found(dsn, made.request.generation_id)
    assert "nobody could take it: adaptive, 0 of 3 targets eligible; ruled out: max_cost 2, full 1" in shown(rows)
    assert json.loads(ledger.as_json(rows))[0]["refused_by"]["ruled_out"] == {"full": 1, "max_cost": 2}


async def test_what_is_not_known_is_not_made_up(dsn: str) -> None:
    alone = record()
    alone.attempts[0].ClearField("decision")
    alone.attempts[0].strategy = "fallback"
    unplaced = record(attempts=0)
    await stored(dsn, alone, unplaced)
    told = shown(await ledger.found(dsn, alone.request.generation_id))
    assert "why: the gateway chose by itself, without a router" in told
    assert "it was not placed" in shown(await ledger.found(dsn, unplaced.request.generation_id))


async def test_a_callers_words_cannot_write_on_the_terminal(dsn: str) -> None:
    made = record(model="\x1b]0;x\x07[red]m")
    await stored(dsn, made)
    lines = shown(await ledger.found(dsn, made.request.generation_id))
    assert lines[0].endswith("chat of \ufffd]0;x\ufffd[red]m through openai, streamed")
