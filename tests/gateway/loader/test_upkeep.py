"""Upkeep: months ahead, retention, contents and leases that are over; one at a time, and nobody waits for it."""

import datetime
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from services.chassis.ids import uuid7
from services.gateway.loader.upkeep import Upkeep

NOW = datetime.datetime(2025, 5, 20, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)

Connection = asyncpg.Connection  # type: ignore[type-arg]


class Scene:
    """A ledger, and an upkeep with a clock that stands still."""

    def __init__(self, dsn: str, connection: Connection) -> None:
        self.dsn = dsn
        self.connection = connection
        self.registry = CollectorRegistry()

    async def round(self, now: datetime.datetime = NOW, *, retention_months: int | None = None) -> bool:
        self.registry = CollectorRegistry()
        upkeep = Upkeep(self.dsn, self.registry, retention_months=retention_months, clock=lambda: now)
        return await upkeep.round()

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    async def months(self, table: str = "requests") -> list[str]:
        rows = await self.connection.fetch(
            "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = $1::text::regclass",
            table,
        )
        return sorted(row["relname"].rpartition("_")[2] for row in rows if row["relname"][-1].isdigit())

    async def insert(self, table: str, **values: Any) -> None:
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        await self.connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", *values.values())

    async def request(self, at: datetime.datetime, generation: uuid.UUID | None = None) -> uuid.UUID:
        made = generation or uuid.UUID(uuid7(int(at.timestamp() * 1000), uuid.uuid4().bytes[:10]))
        await self.insert(
            "requests", generation_id=made, received_at=at, ended_at=at, api="openai", operation="chat", model="m",
            streamed=True, outcome="success", finish_reasons=["stop"], input_tokens=1, output_tokens=1, cached_tokens=0,
            reasoning_tokens=0, usage_estimated=False, config_version="v",
        )  # fmt: skip
        return made

    async def count(self, table: str) -> int:
        return int(await self.connection.fetchval(f"SELECT count(*) FROM {table}"))


@pytest.fixture
async def scene(dsn: str) -> AsyncIterator[Scene]:
    connection = await asyncpg.connect(dsn)
    yield Scene(dsn, connection)
    await connection.close()


async def test_this_month_and_two_more_are_there_however_often(scene: Scene) -> None:
    before = await scene.months()
    assert await scene.round()
    assert await scene.round()
    assert await scene.months() == sorted({*before, "202505", "202506", "202507"})
    assert await scene.months("attempts") == await scene.months()
    assert scene.metric("hybrid_upkeep_last_success_timestamp_seconds") == NOW.timestamp()


async def test_months_wholly_older_than_the_retention_go_and_their_sums_stay(scene: Scene) -> None:
    for month in range(1, 6):
        await scene.round(NOW.replace(month=month))
        await scene.request(NOW.replace(month=month))
    await scene.connection.execute(
        "INSERT INTO requests_hourly "
        "SELECT date_trunc('hour', received_at, 'UTC'), '', '', 'm', '', outcome, 1, 1, 0, 1, 0, 0 FROM requests"
    )
    assert await scene.round(retention_months=2)
    assert (await scene.months())[:3] == ["202503", "202504", "202505"]
    assert (await scene.months("attempts"))[:3] == ["202503", "202504", "202505"]
    assert (await scene.count("requests"), await scene.count("requests_hourly")) == (3, 5)
    assert scene.metric("hybrid_upkeep_partitions_dropped_total") == 4
    assert await scene.round(retention_months=2)
    assert scene.metric("hybrid_upkeep_partitions_dropped_total") == 0


async def test_without_a_retention_nothing_goes(scene: Scene) -> None:
    await scene.round(NOW.replace(year=2021))
    await scene.request(NOW.replace(year=2021))
    assert await scene.round()
    assert await scene.count("requests") == 1


async def test_a_clock_that_is_ahead_drops_nothing_that_is_kept(scene: Scene) -> None:
    now = datetime.datetime.now(datetime.UTC)
    await scene.request(now)
    assert await scene.round(now.replace(year=2090), retention_months=1)
    assert await scene.count("requests") == 1


async def test_rows_with_odd_ids_go_by_their_own_times(scene: Scene) -> None:
    await scene.request(NOW - 400 * DAY, uuid.UUID(int=1))
    await scene.request(NOW, uuid.UUID(int=2))
    await scene.request(NOW - 400 * DAY, uuid.UUID(int=(1 << 128) - 1))
    assert await scene.round(retention_months=12)
    assert [row[0].int for row in await scene.connection.fetch("SELECT generation_id FROM requests")] == [2]


async def test_a_reader_who_takes_long_is_not_waited_for_and_the_rest_is_done(scene: Scene) -> None:
    await scene.round(NOW.replace(month=1))
    async with scene.connection.transaction():
        await scene.connection.fetch("SELECT * FROM requests")
        assert not await scene.round(retention_months=1)
        assert scene.metric("hybrid_upkeep_failures_total", step="retention") == 1
        assert not scene.metric("hybrid_upkeep_last_success_timestamp_seconds")
        assert scene.metric("hybrid_upkeep_rows_deleted_total", table="gateway_runs") == 0, "the step after it was done"
    assert await scene.round(retention_months=1)
    assert "202501" not in await scene.months()


async def test_contents_go_when_their_time_is_over_in_small_batches(scene: Scene) -> None:
    await scene.connection.execute(
        "INSERT INTO contents "
        "SELECT gen_random_uuid(), 'k', 'stored', 'in', 'out', $1::timestamptz + n * interval '1 day' "
        "FROM generate_series(-450, 2) AS n",
        NOW + datetime.timedelta(hours=1),
    )
    assert await scene.round()
    assert scene.metric("hybrid_upkeep_rows_deleted_total", table="contents") == 450
    assert await scene.connection.fetchval("SELECT min(keep_until) FROM contents") > NOW
    assert await scene.count("contents") == 3


async def test_leases_of_long_past_periods_go_and_those_that_may_still_be_settled_stay(scene: Scene) -> None:
    alive, lost = uuid.uuid4(), uuid.uuid4()
    for run, seen in ((alive, NOW), (lost, NOW - 2 * DAY)):
        await scene.insert("gateway_runs", gateway_run=run, gateway="gateway", spool_id=uuid.uuid4(), seen_at=seen)
    periods = {
        "requests": (NOW, NOW - datetime.timedelta(minutes=59), NOW - datetime.timedelta(minutes=61)),
        "tokens": (NOW - DAY,),
        "usd_day": (NOW - 2 * DAY, NOW - 4 * DAY),
        "usd_month": (NOW - 60 * DAY, NOW - 70 * DAY),
        "concurrency": (datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC),),
    }
    for measure, starts in periods.items():
        for start in starts:
            for run in (alive, lost):
                row = {"measure": measure, "period_start": start, "gateway_run": run, "amount": 1}
                await scene.insert("quota_leases", key_id="k" * 16, **row)
    assert await scene.round()
    left = await scene.connection.fetch("SELECT measure, count(*) AS n FROM quota_leases GROUP BY 1")
    assert dict(map(tuple, left)) == {"requests": 4, "usd_day": 2, "usd_month": 2, "concurrency": 1}


async def test_a_run_is_kept_as_long_as_the_requests_that_name_it(scene: Scene) -> None:
    for seen, ended in ((NOW - 100 * DAY, True), (NOW - 100 * DAY, False), (NOW - 2 * DAY, True), (NOW, False)):
        await scene.insert(
            "gateway_runs",
            gateway_run=uuid.uuid4(),
            gateway="g",
            spool_id=uuid.uuid4(),
            seen_at=seen,
            ended_at=seen if ended else None,
        )
    assert await scene.round()
    assert await scene.count("gateway_runs") == 4
    assert await scene.round(retention_months=1)
    assert await scene.count("gateway_runs") == 2


async def test_only_one_does_it_at_a_time(scene: Scene) -> None:
    await scene.connection.fetchval("SELECT pg_advisory_lock(hashtext('hybrid_upkeep'))")
    before = await scene.months()
    assert await scene.round()
    assert await scene.months() == before
    await scene.connection.fetchval("SELECT pg_advisory_unlock(hashtext('hybrid_upkeep'))")
    assert await scene.round()
    assert await scene.months() != before


async def test_without_a_database_or_its_tables_it_says_so_and_changes_nothing(scene: Scene) -> None:
    await scene.connection.execute("INSERT INTO schema_migrations VALUES ('29990101000000')")
    before = await scene.months()
    assert not await scene.round()
    assert scene.metric("hybrid_upkeep_failures_total", step="connection") == 1
    assert await scene.months() == before
    scene.dsn = "postgresql://postgres@/x?host=/nowhere"
    assert not await scene.round()
