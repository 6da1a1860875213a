"""Killed at any of its steps, however often: each record once, and the sums those of the rows."""

import asyncio
import contextlib
import functools
import itertools
import multiprocessing
import pathlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
from hybridinference.gateway.v1 import ledger_pb2

from services.gateway.loader import batches
from services.gateway.loader.loading import Keeping
from services.gateway.loader.reader import read_chunk
from services.gateway.spool import kept as keeping
from services.gateway.spool.segments import DEAD_DIRECTORY, OPEN, segments
from tests.gateway.loader.mortal import PHASES, Fate, Killed, Mortal
from tests.gateway.loader.records import content, prices, record, write_segment
from tests.gateway.loader.running import DAY, ids_of, load_for_ever, load_once, payloads, query
from tests.gateway.loader.sums import assert_sums
from tests.gateway.loader.waiting import eventually
from tests.postgres import EMBEDDED, Postgres

# Half of them with each server.
SEEDS = 100
LIVES = 2
KILLS = 24
# What it must have been killed at.
_QUESTIONS = (
    *("BEGIN", "INSERT INTO spool_progress", "COPY staged_requests", "INSERT INTO requests", "COPY staged_attempts"),
    *("INSERT INTO attempts", "INSERT INTO requests_hourly", "INSERT INTO attempts_hourly", "COMMIT"),
)
ENDS = (*(f"{phase} {one}" for one in _QUESTIONS for phase in PHASES), "before keep", "after keep")


class Written:
    """A spool, and what is to be in the ledger in the end."""

    def __init__(self, directory: pathlib.Path, chance: random.Random) -> None:
        self.requests = [record(attempts=chance.randrange(3), seconds=chance.randrange(9000)) for _ in range(18)]
        for one in self.requests:
            one.request.key_id = f"{chance.randrange(4):016d}"
            if chance.random() < 0.2:
                one.request.outcome, one.request.error_reason = ledger_pb2.OUTCOME_ERROR, "MODEL_NOT_FOUND"
                one.request.model = f"invented-{chance.random()}"
        self.poison = [record(model="poison")] if chance.random() < 0.3 else []
        late = record()
        late.request.CopyFrom(chance.choice(self.requests).request)
        late.attempts[0].kind = "shadow"
        self.attempts = [attempt for one in (*self.requests, late) for attempt in one.attempts]
        self.contents = [content()]
        self.version = f"{directory.name}-prices"
        # Some twice: a spool that has a record twice is no reason to count it twice.
        every = [*self.requests, *chance.sample(self.requests, 2), late, *self.poison, *self.contents]
        chance.shuffle(every)
        every.insert(chance.randrange(len(every)), prices(self.version, 2))
        self.left_open = write_segment(directory, payloads(every[:9]), suffix=OPEN)
        for start in range(9, len(every), 8):
            write_segment(directory, payloads(every[start : start + 8]))

    def close(self) -> None:
        """Its gateway has come back, and closed what was left open."""
        if self.left_open.exists():
            self.left_open.rename(self.left_open.with_suffix(".segment"))

    async def assert_loaded(self, dsn: str) -> None:
        """Each request, attempt and content is there, and what is poisoned is not."""
        for table, column, expected in (
            ("requests", "generation_id", [one.request.generation_id for one in (*self.requests, *self.poison)]),
            ("attempts", "attempt_id", [one.attempt_id for one in self.attempts]),
            ("contents", "generation_id", [one.content.generation_id for one in self.contents]),
        ):
            found = await query(
                dsn, f"SELECT {column}::text AS id FROM {table} WHERE {column} = ANY($1::text[]::uuid[])", expected
            )
            left_out = ids_of(self.poison) if table == "requests" else []
            assert sorted([row["id"] for row in found] + left_out) == sorted(expected), table
        assert len(await query(dsn, "SELECT FROM prices WHERE version = $1", self.version)) == 2


_ALONE = """
SELECT NOT EXISTS (
    SELECT FROM pg_stat_activity WHERE application_name = 'hybrid-loader' AND datname = current_database()
)
"""


@pytest.fixture
async def alone(dsn: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Waits until the server has done with every loader that was killed: what one has asked for it still does."""
    connection = await asyncpg.connect(dsn)

    async def are_gone() -> bool:
        return bool(await connection.fetchval(_ALONE))

    yield lambda: eventually(are_gone)
    await connection.close()


@pytest.mark.slow
async def test_killed_at_each_of_its_steps_it_loads_once(
    dsn: str,
    postgres: Postgres,
    alone: Callable[[], Awaitable[None]],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await query(dsn, "ALTER TABLE requests ADD CHECK (model <> 'poison')")
    monkeypatch.setattr(asyncpg, "connect", functools.partial(asyncpg.connect, connection_class=Mortal))
    monkeypatch.setattr(batches, "read_chunk", functools.partial(read_chunk, limit=4000))
    put_aside = keeping.keep

    def keep(*arguments: object, **named: object) -> None:
        Mortal.fate.step("before keep")
        put_aside(*arguments, **named)  # type: ignore[arg-type]
        Mortal.fate.step("after keep")

    monkeypatch.setattr(keeping, "keep", keep)
    ends: set[str] = set()
    turns = itertools.cycle(ENDS)
    # A quarter of them on the other server, which takes twice as long for each.
    for seed in [seed for seed in range(SEEDS) if (seed % 4 == 0) != (postgres.which == EMBEDDED)]:
        chance = random.Random(seed)
        directory = tmp_path / f"spool-{seed}"
        written = Written(directory, chance)
        kept_for = Keeping(0, 0) if chance.random() < 0.3 else DAY  # deleted at once, or not
        for life in range(LIVES):
            if chance.random() < 0.3:
                Mortal.fate = Fate(steps=chance.randrange(150))
            else:
                Mortal.fate = Fate(steps=chance.randrange(2), counts=next(turns))
            Mortal.fate.pause = chance.choice([0, 0.0005, 0.002])
            with contextlib.suppress(Killed):
                await load_once(directory, dsn, keeping=kept_for)
            await alone()
            ends.add(str(Mortal.fate.at))
            if life == 0:
                written.close()
        Mortal.fate = Fate(steps=10**9)
        await load_once(directory, dsn, keeping=kept_for)
        assert segments(directory) == [], seed
        assert len(list((directory / DEAD_DIRECTORY).glob("*.record"))) == len(written.poison), seed
        await written.assert_loaded(dsn)
        await assert_sums(dsn)
    assert set(ENDS) - ends == set()


@pytest.mark.slow
@pytest.mark.parametrize("postgres", [EMBEDDED], indirect=True)
async def test_killed_at_any_moment_it_loads_once(dsn: str, tmp_path: pathlib.Path) -> None:
    """Its process, by a signal that it cannot see; forked, since twenty starts would take twenty seconds."""
    chance = random.Random(7)
    directory = tmp_path / "spool"
    taken = [record(seconds=number) for number in range(12_000)]
    for start in range(0, len(taken), 1500):
        write_segment(directory, payloads(taken[start : start + 1500]))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([load_for_ever.__module__])
    killed = 0
    while segments(directory):
        process = context.Process(target=load_for_ever, args=(directory, dsn))
        process.start()
        await asyncio.sleep(0.05 + chance.random() * 0.25 if killed < KILLS else 2.0)
        process.kill()
        await asyncio.to_thread(process.join)
        killed += 1
    assert killed > 3
    await load_once(directory, dsn)
    assert [row["n"] for row in await query(dsn, "SELECT count(*) AS n FROM requests")] == [len(taken)]
    assert [row["n"] for row in await query(dsn, "SELECT count(*) AS n FROM attempts")] == [len(taken)]
    await assert_sums(dsn)
    assert not (directory / DEAD_DIRECTORY).exists()
