"""Usage is the exact sum of the rows that it is made of."""

import collections
import datetime
import random
from collections.abc import Mapping
from typing import Any

import asyncpg
import pytest
from google.protobuf import timestamp_pb2
from hybridinference.gateway.v1 import admin_service_pb2 as admin
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis import ids
from services.chassis.failure import Failure
from services.gateway.admin import usage
from tests.gateway.admin.office import Office

NOW = datetime.datetime.now(datetime.UTC)
START = NOW.replace(minute=0, second=0, microsecond=0) - datetime.timedelta(hours=50)
NAMES = {
    "key_id": ("a" * 16, "b" * 16, ""),
    "owner": ("team", "others"),
    "model": ("small", "big", ""),
    "provider": ("a", "b"),
}
COUNTED = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "cost_nano_usd")
FIELDS = ("requests", "attempts", *COUNTED)

# As the loader does for rows that are new.
_ROLL_UP = """
INSERT INTO requests_hourly
SELECT date_trunc('hour', received_at, 'UTC'), key_id, owner, model, coalesce(provider, ''), outcome, count(*),
    sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens), sum(cost_nano_usd)
FROM requests GROUP BY 1, 2, 3, 4, 5, 6;
INSERT INTO attempts_hourly
SELECT date_trunc('hour', placed_at, 'UTC'), key_id, owner, model, provider, provider_model, kind, outcome, count(*),
    sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens), sum(cost_nano_usd)
FROM attempts GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;
"""


def at(moment: datetime.datetime) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(moment)
    return stamp


async def required(connection: Any, table: str) -> dict[str, Any]:
    """A value for each column of a table that needs one."""
    found = await connection.fetch(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = $1 AND is_nullable = 'NO'"
        " AND column_default IS NULL AND is_generated = 'NEVER'",
        table,
    )
    empty: Mapping[str, Any] = collections.defaultdict(
        int, {"text": "", "boolean": False, "jsonb": "{}", "ARRAY": [], "timestamp with time zone": START}
    )
    return {row["column_name"]: empty[row["data_type"]] for row in found}


async def fill(dsn: str, rng: random.Random, count: int) -> list[dict[str, Any]]:
    """Requests with attempts in both tables and their rollups; what they should add up to, row by row."""
    connection = await asyncpg.connect(dsn)
    expected: list[dict[str, Any]] = []
    try:
        bases = {table: await required(connection, table) for table in ("requests", "attempts")}
        for _ in range(count):
            when = START + datetime.timedelta(seconds=rng.uniform(0, 50 * 3600))
            shared = {name: rng.choice(values) for name, values in NAMES.items()}
            request = {**bases["requests"], **shared, "generation_id": ids.new_id(), "received_at": when}
            request |= {"outcome": rng.choice(("success", "error")), "cost_nano_usd": 0}
            if "ended_at" in request:
                request["ended_at"] = when
            expected.append({**shared, "at": when, "requests": 1})
            for number in range(1, rng.randint(1, 4)):
                kind = rng.choice(("first", "retry", "hedge", "shadow"))
                sums = {name: rng.randint(0, 10**6) for name in COUNTED}
                sums["cost_nano_usd"] = rng.randint(0, 10**13)
                attempt = {**bases["attempts"], **shared, "provider": rng.choice(NAMES["provider"]), **sums}
                attempt |= {"attempt_id": ids.new_id(), "generation_id": request["generation_id"], "number": number}
                attempt |= {"kind": kind, "placed_at": when + datetime.timedelta(seconds=rng.uniform(0, 5000))}
                await insert(connection, "attempts", attempt)
                if kind != "shadow":
                    told = {name: attempt[name] for name in NAMES}
                    expected.append({**told, "at": attempt["placed_at"], "attempts": 1, **sums})
            await insert(connection, "requests", request)
        await connection.execute(_ROLL_UP)
    finally:
        await connection.close()
    return expected


async def insert(connection: Any, table: str, row: Mapping[str, Any]) -> None:
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    await connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", *row.values())


def told_apart(row: Mapping[str, Any], by: list[int]) -> tuple[str, ...]:
    moment = row["at"].astimezone(datetime.UTC)
    values = {1: row["key_id"], 2: row["owner"], 3: row["model"], 4: row["provider"]}
    values |= {5: f"{moment:%Y-%m-%d}", 6: f"{moment:%Y-%m-%dT%H:00:00Z}"}
    return tuple(values[each] for each in by)


async def test_whatever_is_told_apart_the_sums_are_those_of_the_rows(admins: Office, dsn: str) -> None:
    rng = random.Random(20261125)
    rows = await fill(dsn, rng, 60)
    for _ in range(40):
        by = rng.sample(range(1, 7), rng.randint(0, 6))
        chosen = {name: rng.choice((*values, "")) for name, values in NAMES.items() if rng.random() < 0.3}
        since = START + datetime.timedelta(hours=rng.choice((0, 0, 7)))
        until = START + datetime.timedelta(hours=rng.choice((30, 60)))
        owners = ("team",) if rng.random() < 0.3 else None
        wanted: dict[tuple[str, ...], collections.Counter[str]] = collections.defaultdict(collections.Counter)
        if not by:
            wanted[()] = collections.Counter()
        for row in rows:
            fits = all(not value or row[name] == value for name, value in chosen.items())
            if fits and since <= row["at"] < until and (owners is None or row["owner"] in owners):
                wanted[told_apart(row, by)].update({name: row.get(name, 0) for name in FIELDS})
        request = admin.QueryUsageRequest(by=by, until=at(until), **{"from": at(since)}, **chosen)
        operator = "lead" if owners else "root"
        answer = await admins.ask("QueryUsage", request, operator)
        found = {tuple(row.values): {name: getattr(row, name) for name in FIELDS} for row in answer.rows}
        assert len(found) == len(answer.rows)
        assert list(found) == sorted(found)
        assert found == {key: {name: sums[name] for name in FIELDS} for key, sums in wanted.items()}


async def test_without_a_time_the_last_thirty_days_are_meant_up_to_now(admins: Office, dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    for days in (0, 29, 31):
        moment = NOW - datetime.timedelta(days=days)
        await connection.execute(
            "INSERT INTO requests_hourly VALUES (date_trunc('hour', $1::timestamptz, 'UTC'), 'k', 'team', 'm', 'p',"
            " 'success', 1, 0, 0, 0, 0, 0)",
            moment,
        )
    await connection.close()
    [row] = (await admins.ask("QueryUsage", admin.QueryUsageRequest())).rows
    assert row.requests == 2
    [audit] = await admins.rows("SELECT details FROM audit")
    assert '"by": []' in audit["details"]


@pytest.mark.parametrize("seconds", [1, 1800, 3599])
def test_a_part_of_an_hour_cannot_be_asked_for(seconds: int) -> None:
    stamp = at(START + datetime.timedelta(seconds=seconds))
    for request in (admin.QueryUsageRequest(until=stamp), admin.QueryUsageRequest(**{"from": stamp})):
        with pytest.raises(Failure, match="must be a whole hour"):
            usage.question(request, owners=None, now=NOW)


def test_time_goes_forward() -> None:
    with pytest.raises(Failure, match="must come after") as refused:
        usage.question(admin.QueryUsageRequest(until=at(START), **{"from": at(START)}), owners=None, now=NOW)
    assert refused.value.reason == reasons.ERROR_REASON_SPEC_INVALID


def test_more_sums_than_an_answer_holds_are_refused_and_not_cut() -> None:
    with pytest.raises(Failure, match="ask for a shorter time, or for less"):
        usage.answer([{}] * (usage.MOST_ROWS + 1))  # type: ignore[list-item]
