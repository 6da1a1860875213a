"""Leases in PostgreSQL: what the function there decides, against the same decision in other words."""

import asyncio
import random
from typing import Any

import asyncpg

from services.gateway.database import Database
from services.gateway.identity.grant import Limits
from services.gateway.quota.allowance import Wish
from services.gateway.quota.window import moment
from tests.gateway.quota.keys import KEY, insert_key, leases_on
from tests.gateway.quota.table import Table

TODAY = moment(1_782_000_000 - 1_782_000_000 % 86_400)


def wish(held: int, enough: int, goal: int, spare: int = 0, measure: Any = "usd_day", limit: int = 1 << 60) -> Wish:
    return Wish(measure, TODAY, limit, held, enough, goal, spare)


async def test_the_database_decides_as_the_tests_do(connection: asyncpg.Connection, database: Database) -> None:
    limits = Limits(requests_per_minute=500, tokens_per_minute=1000, usd_per_day=0, usd_per_month=10_000)
    await insert_key(connection, limits)
    table = Table(**{KEY: limits})
    pairs = [(leases_on(database), table.gateway()) for _ in range(3)]
    chance = random.Random(1)
    for _ in range(200):
        leases, model = chance.choice(pairs)
        wishes = []
        for measure in chance.sample(("requests", "tokens", "concurrency", "usd_day", "usd_month"), 3):
            held = chance.randrange(300)
            enough = held + chance.randrange(600)
            wishes.append(
                wish(
                    held,
                    enough,
                    max(held, enough + chance.randrange(300)),
                    chance.randrange(50),
                    measure,
                    chance.choice((400, 1 << 60)),
                )
            )
        assert await leases.lease(KEY, wishes) == await model.lease(KEY, wishes)


async def test_of_a_key_that_is_not_there_nothing_is_leased(database: Database) -> None:
    assert await leases_on(database).lease(KEY, [wish(0, 1, 1)]) == {}


async def test_many_gateways_at_once_never_have_more_than_the_limit(
    connection: asyncpg.Connection, database: Database
) -> None:
    await insert_key(connection, Limits(usd_per_day=1000))
    gateways = [leases_on(database) for _ in range(20)]
    answers = await asyncio.gather(*(each.lease(KEY, [wish(0, 90, 90, 100)]) for each in gateways))
    amounts = [lease.amount for answer in answers for lease in answer.values()]
    assert sum(amounts) <= 1000
    assert await connection.fetchval("SELECT sum(amount) FROM quota_leases") == sum(amounts)
    assert sum(amount >= 90 for amount in amounts) >= 6


async def test_a_write_that_comes_late_changes_nothing(connection: asyncpg.Connection, database: Database) -> None:
    await insert_key(connection, Limits(usd_per_day=1000))
    leases = leases_on(database)
    await leases.lease(KEY, [wish(0, 100, 100)])
    await leases.lease(KEY, [wish(100, 700, 700)])
    late = [1, ["usd_day"], [TODAY], [1000], [0], [0], [0], [0]]
    run = await connection.fetchval("SELECT gateway_run FROM quota_leases")
    await connection.fetch("SELECT lease_quota($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", KEY, run, *late)
    assert await connection.fetchval("SELECT amount FROM quota_leases") == 700


async def test_a_gateway_that_has_ended_leases_nothing_more(connection: asyncpg.Connection, database: Database) -> None:
    await insert_key(connection, Limits(usd_per_day=1000))
    leases = leases_on(database)
    await leases.lease(KEY, [wish(0, 100, 100)])
    await leases.end()
    assert await leases.lease(KEY, [wish(0, 200, 200)]) == {}


async def test_slots_of_a_gateway_that_was_not_seen_for_long_count_no_more(
    connection: asyncpg.Connection, database: Database
) -> None:
    await insert_key(connection, Limits(concurrency=10, usd_per_day=10))
    one, two = leases_on(database), leases_on(database)
    both = [wish(0, 10, 10, measure="concurrency"), wish(0, 10, 10)]
    await one.lease(KEY, both)
    assert [lease.amount for lease in (await two.lease(KEY, both)).values()] == [0, 0]
    await connection.execute("UPDATE gateway_runs SET seen_at = now() - interval '31 seconds'")
    await two.seen()
    assert [lease.amount for lease in (await two.lease(KEY, both)).values()] == [10, 0], "money is not given back so"


async def test_a_statement_that_is_no_sql_is_a_key_like_any_other(
    connection: asyncpg.Connection, database: Database
) -> None:
    assert await leases_on(database).lease("'; DROP TABLE keys; --", [wish(0, 1, 1)]) == {}
    assert await connection.fetchval("SELECT count(*) FROM keys") == 0
