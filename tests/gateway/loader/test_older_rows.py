"""A ledger of the version before becomes one of this: partitions, sums, and no row lost, whatever its id."""

import datetime
import pathlib
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.chassis.ids import uuid7
from tests.postgres import MIGRATIONS, Postgres

FILES = sorted(MIGRATIONS.glob("*.sql"))
BEFORE = [file for file in FILES if file.name < "20261125230000"]

Connection = asyncpg.Connection  # type: ignore[type-arg]


def months_ago(months: int) -> datetime.datetime:
    """The middle of an earlier month."""
    now = datetime.datetime.now(datetime.UTC)
    month = now.year * 12 + now.month - 1 - months
    return datetime.datetime(month // 12, month % 12 + 1, 15, 12, tzinfo=datetime.UTC)


def id_of(moment: datetime.datetime) -> uuid.UUID:
    return uuid.UUID(uuid7(int(moment.timestamp() * 1000), uuid.uuid4().bytes[:10]))


async def put(connection: Connection, generation: uuid.UUID, at: datetime.datetime, **other: object) -> None:
    """A request of the version before, with one attempt."""
    ended = at + datetime.timedelta(milliseconds=1500)
    tokens = {
        "input_tokens": 10,
        "output_tokens": 3,
        "cached_tokens": 2,
        "reasoning_tokens": 1,
        "usage_estimated": False,
    }
    shared = {
        **tokens,
        "ended_at": ended,
        "outcome": "success",
        "provider": "p",
        "worker": "p-0",
        "provider_model": "pm",
    }
    kind = {"api": "openai", "operation": "chat", "model": "m", "streamed": True, "finish_reasons": ["stop"]}
    known = {"generation_id": generation, "received_at": at, "config_version": "v"}
    await _insert(connection, "requests", {**shared, **kind, **known, **other})
    attempt = id_of(at) if generation.version == 7 else uuid.uuid4()
    placed = {"attempt_id": attempt, "generation_id": generation, "number": 1, "placed_at": at, "strategy": "s"}
    await _insert(connection, "attempts", {**shared, **placed})


async def _insert(connection: Connection, table: str, values: dict[str, object]) -> None:
    holders = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({holders})", *values.values())


@pytest.fixture
async def older(postgres: Postgres) -> AsyncIterator[str]:
    """The name of a database of the version before."""
    name = f"older_{uuid.uuid4().hex}"
    postgres.migrate(name, BEFORE)
    yield name
    await postgres.drop(postgres.dsn(name))


async def test_rows_of_months_before_and_with_odd_ids_are_all_there_afterwards(
    postgres: Postgres, older: str, tmp_path: pathlib.Path
) -> None:
    connection = await asyncpg.connect(postgres.dsn(older))
    ordinary = {id_of(months_ago(months)): months_ago(months) for months in (14, 3, 1, 0, 0)}
    # As tests and wrong clocks make them: random, the least, the greatest, of 1970, of a far year.
    odd = [
        *(uuid.uuid4() for _ in range(40)),
        uuid.UUID(int=0),
        uuid.UUID(int=(1 << 128) - 1),
        id_of(datetime.datetime(1970, 1, 2, tzinfo=datetime.UTC)),
        id_of(datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC)),
    ]
    for generation, at in ordinary.items():
        await put(connection, generation, at)
    for generation in odd:
        await put(connection, generation, months_ago(2))
    astray = id_of(months_ago(5))
    await put(connection, astray, months_ago(0), outcome="error", error_reason="MODEL_NOT_FOUND", model="made up")
    before = await connection.fetch("SELECT * FROM requests ORDER BY 1")
    attempts = await connection.fetch("SELECT * FROM attempts ORDER BY 1")

    postgres.migrate(older)

    names = ", ".join(before[0].keys())
    assert await connection.fetch(f"SELECT {names} FROM requests ORDER BY 1") == before
    names = ", ".join(attempts[0].keys())
    assert await connection.fetch(f"SELECT {names} FROM attempts ORDER BY 1") == attempts
    where = {
        row["generation_id"]: row["part"]
        for row in await connection.fetch("SELECT generation_id, tableoid::regclass::text AS part FROM requests")
    }
    assert {generation: where[generation] for generation in ordinary} == {
        generation: f"requests_{at:%Y%m}" for generation, at in ordinary.items()
    }
    assert where[astray] == f"requests_{months_ago(5):%Y%m}", "by the id, whatever the row says"
    assert [where[generation] for generation in odd[-4:]] == [f"requests_{way}" for way in ("early", "late") * 2]
    sums = await connection.fetch("SELECT sum(requests) AS n, sum(input_tokens) AS i FROM requests_hourly")
    assert [tuple(row) for row in sums] == [(len(before), 10 * len(before))]
    sums = await connection.fetch("SELECT sum(attempts) AS n, sum(output_tokens) AS o FROM attempts_hourly")
    assert [tuple(row) for row in sums] == [(len(attempts), 3 * len(attempts))]
    assert await connection.fetchval("SELECT count(*) FROM requests_hourly WHERE model = 'made up'") == 0
    assert await connection.fetchval("SELECT count(*) FROM request_summary WHERE attempts = 1") == len(before)
    await connection.close()


async def test_a_month_is_added_once_and_none_for_ids_of_no_time(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    at = datetime.datetime(2031, 5, 1, tzinfo=datetime.UTC)
    with pytest.raises(asyncpg.CheckViolationError):
        await put(connection, id_of(at), at)
    before = await connection.fetchval(_PARTS)
    for moment in (at, at, at.replace(day=31), at.replace(year=1970), at.replace(year=9999)):
        await connection.execute("SELECT add_ledger_month($1)", moment)
    assert await connection.fetchval(_PARTS) == before + 2
    await put(connection, id_of(at), at)
    for moment in (at.replace(year=1970), at.replace(year=9999)):
        await put(connection, id_of(moment), at)
    where = await connection.fetch("SELECT tableoid::regclass::text FROM requests ORDER BY generation_id")
    assert [row[0] for row in where] == ["requests_early", "requests_203105", "requests_late"]
    await connection.close()


_PARTS = "SELECT count(*) FROM pg_inherits WHERE inhparent IN ('requests'::regclass, 'attempts'::regclass)"


async def test_a_month_is_from_its_first_millisecond_to_its_last_in_utc(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("SET timezone = 'America/Los_Angeles'")
    for month in (4, 5):
        await connection.execute("SELECT add_ledger_month($1)", datetime.datetime(2031, month, 9, tzinfo=datetime.UTC))
    edge = datetime.datetime(2031, 5, 1, tzinfo=datetime.UTC)
    for moment, part in ((edge - datetime.timedelta(milliseconds=1), "requests_203104"), (edge, "requests_203105")):
        generation = id_of(moment)
        await put(connection, generation, moment)
        where = "SELECT tableoid::regclass::text FROM requests WHERE generation_id = $1"
        assert await connection.fetchval(where, generation) == part
        assert await connection.fetchval("SELECT uuid_moment($1)", generation) == moment
        assert await connection.fetchval("SELECT uuid_from($1) <= $2", moment, generation)
    await connection.close()


async def test_months_are_added_while_others_read_and_write(dsn: str) -> None:
    writer, adder = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    now = datetime.datetime.now(datetime.UTC)
    async with writer.transaction():
        await put(writer, id_of(now), now)
        await writer.fetch("SELECT count(*) FROM requests WHERE generation_id >= uuid_from(now() - interval '1 hour')")
        await adder.execute("SET lock_timeout = '1s'")
        await adder.execute("SELECT add_ledger_month($1)", datetime.datetime(2031, 5, 1, tzinfo=datetime.UTC))
    for connection in (writer, adder):
        await connection.close()
