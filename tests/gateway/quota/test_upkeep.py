"""What a gateway does with its leases at its start, all the time and at its end, with a real database and spool."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator
from unittest import mock

import asyncpg
import pytest
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from prometheus_client import CollectorRegistry

from services.chassis import ids
from services.gateway.database import Database, open_database
from services.gateway.identity.grant import Grant, Limits
from services.gateway.quota import upkeep
from services.gateway.quota.quota import Quota
from services.gateway.quota.quota_metrics import QuotaMetrics
from services.gateway.quota.reservation import Need
from services.gateway.quota.upkeep import Upkeep, open_quota
from services.gateway.spool.segments import segments
from services.gateway.spool.spool import Spool, open_spool
from tests.fakes import eventually
from tests.gateway.quota.keys import KEY, insert_key, leases_on
from tests.gateway.quota.table import Table

LIMITS = Limits(usd_per_day=100_000, usd_per_month=1_000_000, concurrency=10)
GRANT = Grant(key_id=KEY, owner="o", limits=LIMITS)


@contextlib.asynccontextmanager
async def gateway(database: Database, spool: Spool, directory: pathlib.Path) -> AsyncIterator[Quota]:
    async with open_quota(
        database,
        CollectorRegistry(),
        run=ids.new_id(),
        gateway="gateway",
        gateways=1,
        spool=spool,
        directory=directory,
    ) as quota:
        yield quota


async def amounts(connection: asyncpg.Connection) -> dict[str, int]:
    rows = await connection.fetch("SELECT measure, sum(amount)::bigint AS amount FROM quota_leases GROUP BY measure")
    return {row["measure"]: row["amount"] for row in rows}


async def ended(connection: asyncpg.Connection) -> list[bool]:
    rows = await connection.fetch("SELECT ended_at IS NOT NULL AS ended FROM gateway_runs ORDER BY started_at")
    return [row["ended"] for row in rows]


async def test_an_orderly_end_settles_and_gives_back_everything(
    database: Database, connection: asyncpg.Connection, tmp_path: pathlib.Path
) -> None:
    await insert_key(connection, LIMITS)
    async with open_spool(tmp_path, registry=CollectorRegistry()) as spool, gateway(database, spool, tmp_path) as quota:
        held = await quota.reserve(GRANT, Need(0, 1000))
        assert (await amounts(connection))["usd_day"] > 1000
        held.settle(0, 123)
    assert await amounts(connection) == {"usd_day": 123, "usd_month": 123, "concurrency": 0}
    assert await ended(connection) == [True]


async def test_with_a_request_still_under_way_a_gateway_is_not_said_to_have_settled(
    database: Database, connection: asyncpg.Connection, tmp_path: pathlib.Path
) -> None:
    await insert_key(connection, LIMITS)
    async with open_spool(tmp_path, registry=CollectorRegistry()) as spool, gateway(database, spool, tmp_path) as quota:
        await quota.reserve(GRANT, Need(0, 1000))
    assert (await amounts(connection))["usd_day"] == 1000
    assert await ended(connection) == [False]


async def test_without_the_database_a_gateway_ends_all_the_same(tmp_path: pathlib.Path) -> None:
    async with (
        asyncio.timeout(30),
        open_database("postgresql:///none?host=/nowhere", name="t") as nowhere,
        open_spool(tmp_path, registry=CollectorRegistry()) as spool,
        gateway(nowhere, spool, tmp_path) as quota,
    ):
        (await quota.reserve(Grant(KEY, "o", limits=Limits(concurrency=2)), Need(0, 0))).settle(0, 0)


async def test_of_a_lost_gateway_slots_are_free_at_once_and_money_once_the_ledger_knows_what_it_spent(
    database: Database, connection: asyncpg.Connection, tmp_path: pathlib.Path
) -> None:
    await insert_key(connection, LIMITS)
    async with open_spool(tmp_path, registry=CollectorRegistry()) as spool:
        lost = leases_on(database, spool_id=spool.spool_id)
        elsewhere = leases_on(database)  # its spool is another one: whether it lives nobody knows here
        async with asyncio.TaskGroup() as tasks:
            for leases in (lost, elsewhere):
                dying = Quota(leases, QuotaMetrics(CollectorRegistry()), tasks, gateways=1)
                await dying.reserve(GRANT, Need(0, 1000))
        before = await amounts(connection)
        spool.append(ledger.LedgerRecord(request=ledger.RequestRecord(generation_id=ids.new_id())))
        await spool.flushed()
        (segment,) = segments(tmp_path)

        upkeep = Upkeep(dying, leases_on(database, spool_id=spool.spool_id), spool, tmp_path)
        await upkeep.settle_lost()
        assert await amounts(connection) == before | {"concurrency": 1}, "of the one elsewhere"

        run = await connection.fetchval("SELECT gateway_run FROM gateway_runs WHERE spool_id = $1", spool.spool_id)
        await spent(connection, run, 321)
        await spent(connection, run, 1000, days_ago=40)
        loaded = "INSERT INTO spool_progress (spool_id, segment, loaded_bytes) VALUES ($1, $2, $3)"
        await connection.execute(loaded, spool.spool_id, segment.name, segment.size - 1)
        await upkeep.settle_lost()
        assert (await amounts(connection))["usd_day"] == before["usd_day"], "a byte is not loaded"

        await connection.execute("UPDATE spool_progress SET loaded_bytes = loaded_bytes + 1")
        await upkeep.settle_lost()
        of_lost = "SELECT amount FROM quota_leases WHERE gateway_run = $1"
        assert [row["amount"] for row in await connection.fetch(of_lost, run)] == [321, 321]
        assert await ended(connection) == [True, False]


async def spent(connection: asyncpg.Connection, run: object, cost: int, *, days_ago: int = 0) -> None:
    """A row in the ledger, received in the last moment of the day of the lease, or days before."""
    await connection.execute(
        "INSERT INTO requests (generation_id, api, operation, model, streamed, outcome, received_at, ended_at, key_id, "
        "cost_nano_usd, gateway_run, finish_reasons, input_tokens, output_tokens, cached_tokens, reasoning_tokens, "
        "usage_estimated, config_version) "
        "SELECT $1, 'openai', 'chat', 'm', false, 'success', at, at, $2, $3, $4, '{}', 0, 0, 0, 0, false, '' FROM ("
        "  SELECT period_start + interval '24 hours' - interval '1 microsecond' - $5 * interval '24 hours' AS at"
        "  FROM quota_leases WHERE gateway_run = $4 AND measure = 'usd_day') moment",
        ids.new_id(),
        KEY,
        cost,
        run,
        days_ago,
    )


async def test_a_gateway_is_seen_however_long_it_takes_to_give_back(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_TICK_SECONDS", 0.001)
    monkeypatch.setattr(upkeep, "_SEEN_SECONDS", 0.001)
    gateway = Table(**{KEY: LIMITS}).gateway()
    leases = mock.AsyncMock()
    async with open_spool(tmp_path, registry=CollectorRegistry()) as spool, asyncio.TaskGroup() as tasks:
        quota = Quota(gateway, QuotaMetrics(CollectorRegistry()), tasks, gateways=1)
        (await quota.reserve(GRANT, Need(0, 1000))).settle(0, 1)
        gateway.answers = asyncio.Event()  # what is given back now is never heard of
        (account,) = quota.accounts.values()
        account.used_at = 0.0
        following = tasks.create_task(Upkeep(quota, leases, spool, tmp_path).follow())
        await eventually(account.lock.locked, seconds=30)
        before = leases.seen.await_count
        await eventually(lambda: leases.seen.await_count > before + 2, seconds=30)
        following.cancel()
