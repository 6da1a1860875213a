"""The keys that a gateway knows, beside a real PostgreSQL."""

import asyncio
import contextlib
import datetime
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from services.config.access import Ceiling
from services.gateway.database import DatabaseAway
from services.gateway.identity import credential as credentials
from services.gateway.identity import keyring as keyrings
from services.gateway.identity import lookups
from services.gateway.identity.credential import Credential
from services.gateway.identity.grant import Limits
from services.gateway.identity.peppers import Peppers
from tests.gateway.identity.keys import PEPPERS, Rig, change, execute, insert, made
from tests.postgres import Postgres

LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
LONG_AHEAD = datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC)


@contextlib.asynccontextmanager
async def following(*rigs: Rig) -> AsyncIterator[None]:
    """Keyrings that follow, as in a gateway."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(rig.keyring.follow()) for rig in rigs]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            for rig in rigs:
                await rig.database.close()


@contextlib.asynccontextmanager
async def answering(rig: Rig) -> AsyncIterator[Rig]:
    """A keyring that answers look-ups and follows only when a test polls."""
    task = asyncio.create_task(rig.keyring._lookups.follow())
    try:
        yield rig
    finally:
        task.cancel()
        await rig.database.close()


@contextlib.asynccontextmanager
async def away(postgres: Postgres, dsn: str) -> AsyncIterator[None]:
    """The server refuses this database to everybody."""
    name = dsn.partition("@/")[2].partition("?")[0]
    await execute(postgres.dsn(), f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await execute(postgres.dsn(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    try:
        yield
    finally:
        await execute(postgres.dsn(), f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


async def until(asked: Callable[[], Awaitable[str]], expected: str) -> None:
    """Wait until it is worth that."""
    async with asyncio.timeout(30):
        while True:
            if await asked() == expected:
                return
            await asyncio.sleep(0.05)


async def test_a_key_is_what_its_row_says(dsn: str) -> None:
    key = await insert(
        dsn,
        made(),
        models=["m"],
        providers=["p"],
        scopes=["generate"],
        expires_at=datetime.datetime.fromtimestamp(2e9, datetime.UTC),
        requests_per_minute=1,
        tokens_per_minute=2,
        concurrency=3,
        budget_nano_usd_per_day=4,
        budget_nano_usd_per_month=5,
        criticality=1,
        weight=2.5,
        content="hashed",
        content_retention_days=7,
        billing="relaxed",
    )
    async with answering(Rig(dsn)) as rig:
        verdict, grant = await rig.keyring.judge(key)
    assert verdict == "accepted"
    assert grant is not None
    assert (grant.key_id, grant.owner) == (key.key_id, "team")
    assert (grant.models, grant.providers, grant.scopes) == (frozenset("m"), ("p",), frozenset(["generate"]))
    assert grant.limits == Limits(1, 2, 3, 4, 5)
    assert (grant.expires_at, grant.criticality, grant.weight) == (2e9, 1, 2.5)
    assert (grant.content, grant.content_retention_days, grant.strict) == ("hashed", 7, False)


async def test_whatever_is_wrong_with_a_credential_it_costs_as_many_hmacs(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    peppers = Peppers.of([b"n" * 32, b"p" * 32])
    right, revoked, expired = [await insert(dsn, made()) for _ in range(3)]
    rotated = await insert(dsn, made(), previous_mac=b"m" * 32, previous_pepper_id="x", previous_until=LONG_AGO)
    await change(dsn, revoked, "revoked_at = now()")
    await change(dsn, expired, "expires_at = $1", LONG_AGO)
    given = {
        "accepted": right,
        "wrong": made(key_id=right.key_id),
        "unknown": made(),
        "revoked": revoked,
        "expired": expired,
    }
    counted: list[Credential] = []
    real = credentials.mac

    def mac(pepper: bytes, credential: Credential) -> bytes:
        counted.append(credential)
        return real(pepper, credential)

    monkeypatch.setattr(credentials, "mac", mac)
    async with answering(Rig(dsn, peppers=peppers)) as rig:
        for expected, credential in [*given.items(), ("accepted", rotated)] * 2:  # unknown to the gateway, then known
            counted.clear()
            assert await rig.verdict(credential) == expected
            assert counted == [credential] * 2, "one for each pepper"


async def test_the_secret_before_a_rotation_is_taken_as_long_as_was_said(dsn: str) -> None:
    old = await insert(dsn, made())
    new = made(key_id=old.key_id)
    async with answering(Rig(dsn)) as rig:
        await rig.keyring.poll()
        assert [await rig.verdict(each) for each in (old, new)] == ["accepted", "wrong"]
        until = datetime.datetime.fromtimestamp(rig.now + 60, datetime.UTC)
        pepper_id, mac = PEPPERS.mac(new)
        rotate = "previous_mac = mac, previous_pepper_id = pepper_id, previous_until = $1, mac = $2, pepper_id = $3"
        await change(dsn, new, rotate, until, mac, pepper_id)
        await rig.keyring.poll()
        assert [await rig.verdict(each) for each in (old, new)] == ["accepted", "accepted"]
        rig.now += 60
        assert [await rig.verdict(each) for each in (old, new)] == ["wrong", "accepted"]


async def test_a_key_expires_by_the_second_without_anybody_being_asked(dsn: str) -> None:
    async with answering(Rig(dsn)) as rig:
        key = await insert(dsn, made(), expires_at=datetime.datetime.fromtimestamp(rig.now + 1, datetime.UTC))
        assert await rig.verdict(key) == "accepted"
        rig.now += 1
        assert await rig.verdict(key) == "expired"
        assert rig.database.asked == 1


async def test_what_is_revoked_rotated_or_limited_reaches_two_gateways_within_five_seconds(dsn: str) -> None:
    for _ in range(3):  # the machine may be slow once
        took = await seconds_until_two_gateways_know(dsn)
        if took < 5:
            break
    assert took < 5


async def seconds_until_two_gateways_know(dsn: str) -> float:
    """How long changes of keys take to reach both."""
    revoked, rotated, limited = [await insert(dsn, made()) for _ in range(3)]
    rigs = (Rig(dsn), Rig(dsn))
    async with following(*rigs):
        for rig in rigs:
            assert [await rig.verdict(key) for key in (revoked, rotated, limited)] == ["accepted"] * 3
        pepper_id, mac = PEPPERS.mac(made(key_id=rotated.key_id))
        await change(dsn, revoked, "revoked_at = now()")
        await change(dsn, rotated, "mac = $1, pepper_id = $2", mac, pepper_id)
        await change(dsn, limited, "requests_per_minute = 7")
        begun = time.monotonic()
        for rig in rigs:
            await until(lambda rig=rig: rig.verdict(revoked), "revoked")
            await until(lambda rig=rig: rig.verdict(rotated), "wrong")
            assert [await rig.verdict(key) for key in (revoked, rotated)] == ["revoked", "wrong"]
            grant = (await rig.keyring.judge(limited))[1]
            assert grant is not None
            assert grant.limits.requests_per_minute == 7
        return time.monotonic() - begun


async def test_a_change_that_took_long_to_commit_is_seen(dsn: str) -> None:
    key = await insert(dsn, made())
    async with answering(Rig(dsn)) as rig:
        assert await rig.verdict(key) == "accepted"
        connection = await asyncpg.connect(dsn)
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("UPDATE keys SET revoked_at = now(), changed_at = now() WHERE key_id = $1", key.key_id)
        await rig.keyring.poll()
        await rig.keyring.poll()
        await transaction.commit()
        await connection.close()
        await rig.keyring.poll()
        assert await rig.verdict(key) == "revoked"


async def test_what_was_changed_by_hand_is_seen_within_two_minutes(dsn: str) -> None:
    by_hand, removed = [await insert(dsn, made()) for _ in range(2)]
    async with answering(Rig(dsn)) as rig:
        await rig.keyring.poll()
        assert [await rig.verdict(key) for key in (by_hand, removed)] == ["accepted"] * 2
        await execute(dsn, "UPDATE keys SET revoked_at = now() WHERE key_id = $1", by_hand.key_id)
        await execute(dsn, "DELETE FROM keys WHERE key_id = $1", removed.key_id)
        for _ in range(2 * keyrings.ROUND):
            await rig.keyring.poll()
        assert [await rig.verdict(key) for key in (by_hand, removed)] == ["revoked", "unknown"]


async def test_reading_all_again_is_spread_over_a_round(dsn: str) -> None:
    keys = [await insert(dsn, made()) for _ in range(3)]
    async with answering(Rig(dsn)) as rig:
        for key in keys:
            await rig.verdict(key)
        asked = []
        for _ in range(5):
            before = rig.database.asked
            await rig.keyring.poll()
            asked.append(rig.database.asked - before)
        assert asked == [2] * 5, "what has changed, and one key of three"


async def test_a_key_that_was_asked_for_too_early_is_found_once_it_is_made(dsn: str) -> None:
    key = made()
    async with answering(Rig(dsn)) as rig:
        await rig.keyring.poll()
        assert await rig.verdict(key) == "unknown"
        await insert(dsn, key)
        assert await rig.verdict(key) == "unknown"
        await rig.keyring.poll()
        assert await rig.verdict(key) == "accepted"


async def test_without_the_database_known_keys_work_and_of_others_nothing_is_said(postgres: Postgres, dsn: str) -> None:
    known, other = [await insert(dsn, made()) for _ in range(2)]
    async with answering(Rig(dsn)) as rig:
        await rig.keyring.poll()
        assert await rig.verdict(known) == "accepted"
        async with away(postgres, dsn):
            rig.passed += 3
            with pytest.raises(DatabaseAway):
                await rig.keyring.poll()
            assert await rig.verdict(known) == "accepted"
            assert await rig.verdict(made(key_id=known.key_id)) == "wrong"
            with pytest.raises(DatabaseAway):
                await rig.verdict(other)
            assert rig.metric("hybrid_gateway_keys_age_seconds") == 3
            assert rig.metric("hybrid_gateway_keys_cached") == 1
        await change(dsn, known, "revoked_at = now()")
        await asyncio.sleep(0.5)  # it is not tried at every call
        await rig.keyring.poll()
        assert [await rig.verdict(key) for key in (known, other)] == ["revoked", "accepted"]
        assert rig.metric("hybrid_gateway_keys_age_seconds") == 0


async def test_before_there_are_tables_nothing_is_said_of_a_key(postgres: Postgres) -> None:
    async with answering(Rig(postgres.dsn())) as rig:
        with pytest.raises(DatabaseAway):
            await rig.verdict(made())
        with pytest.raises(DatabaseAway):
            await rig.keyring.poll()


async def test_many_calls_with_one_key_ask_once(dsn: str) -> None:
    key = await insert(dsn, made())
    async with answering(Rig(dsn)) as rig:
        verdicts = await asyncio.gather(*(rig.verdict(key) for _ in range(200)))
        assert (set(verdicts), rig.database.asked) == ({"accepted"}, 1)


async def test_a_flood_of_made_up_keys_is_a_few_questions_and_the_second_wave_is_none(dsn: str) -> None:
    key, flood = await insert(dsn, made()), [made() for _ in range(2000)]
    async with answering(Rig(dsn, most=10)) as rig:
        assert await rig.verdict(key) == "accepted"
        asked = rig.database.asked
        assert set(await asyncio.gather(*map(rig.verdict, flood))) == {"unknown"}
        assert rig.database.asked - asked <= 2000 / lookups.MOST_AT_ONCE + 1
        asked = rig.database.asked
        assert set(await asyncio.gather(*map(rig.verdict, flood))) == {"unknown"}
        assert await rig.verdict(key) == "accepted", "what nobody has takes no key's place"
        assert rig.database.asked == asked
        rig.passed += keyrings.ABSENT_SECONDS
        assert await rig.verdict(flood[0]) == "unknown"
        assert rig.database.asked == asked + 1


async def test_a_caller_that_leaves_takes_nothing_from_one_who_waits_for_the_same_key(dsn: str) -> None:
    key = await insert(dsn, made())
    async with answering(Rig(dsn)) as rig:
        leaving, waiting = asyncio.create_task(rig.verdict(key)), asyncio.create_task(rig.verdict(key))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await waiting == "accepted"


async def test_the_key_that_was_not_used_for_longest_is_forgotten(dsn: str) -> None:
    first, second, third = [await insert(dsn, made()) for _ in range(3)]
    async with answering(Rig(dsn, most=2)) as rig:
        for key in (first, second, first, third):
            await rig.verdict(key)
        assert rig.database.asked == 3
        await rig.verdict(first)
        assert rig.database.asked == 3
        await rig.verdict(second)
        assert rig.database.asked == 4
        rig.keyring.reconfigure(most=1, ceilings={})
        assert rig.metric("hybrid_gateway_keys_cached") == 1


async def test_a_key_stays_below_the_ceiling_of_whoever_made_it_also_where_that_came_later(dsn: str) -> None:
    key = await insert(dsn, made(), created_by="helpdesk", models=["a", "b"])
    async with answering(Rig(dsn, ceilings={"root": Ceiling(models=())})) as rig:
        _, grant = await rig.keyring.judge(key)
        assert grant is not None
        assert grant.models == {"a", "b"}
        rig.keyring.reconfigure(most=100, ceilings={"helpdesk": Ceiling(models=("b",))})
        _, grant = await rig.keyring.judge(key)
        assert grant is not None
        assert grant.models == {"b"}
        rig.keyring.reconfigure(most=100, ceilings={"helpdesk": Ceiling(owners=("others",))})
        assert await rig.keyring.judge(key) == ("bounded", None)


async def test_under_a_pepper_that_is_missing_a_key_is_not_called_wrong(dsn: str) -> None:
    key = await insert(dsn, made())
    async with answering(Rig(dsn, peppers=Peppers.of([b"o" * 32]))) as rig:
        assert await rig.verdict(key) == "unverifiable"
    async with answering(Rig(dsn, peppers=Peppers.of([b"o" * 32, b"p" * 32]))) as rig:
        assert await rig.verdict(key) == "accepted", "the first is for new keys, the others are still taken"


async def test_nothing_in_the_database_lets_anyone_in(dsn: str) -> None:
    before = {"previous_mac": PEPPERS.mac(made())[1], "previous_pepper_id": "x", "previous_until": LONG_AHEAD}
    key = await insert(dsn, made(), **before)
    other = await insert(dsn, made())
    connection = await asyncpg.connect(dsn)
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    stolen: set[bytes] = set()
    for table in tables:
        for row in await connection.fetch(f'SELECT * FROM "{table["tablename"]}"'):
            for value in row.values():
                stolen.add(value if isinstance(value, bytes) else str(value).encode())
    await connection.close()
    assert PEPPERS.mac(key)[1] in stolen
    assert not any(secret in each for each in stolen for secret in (key.secret.encode(), b"p" * 32))
    async with answering(Rig(dsn)) as rig:
        for value in stolen:
            for secret in _readings(value):
                for key_id in (key.key_id, other.key_id):
                    given = credentials.parse(f"hi_{key_id}_{secret}")
                    assert given is None or await rig.verdict(given) == "wrong"


def _readings(value: bytes) -> list[str]:
    """A stolen value as a secret: as it is, as text of its bytes, and as what one would be made of."""
    filled = value.ljust(32, b"\0")[:32]
    encoded = credentials.make(bytes(10) + filled).secret
    return [value.decode("latin-1"), value.hex()[:43], encoded]
