"""Loaded segments are kept for a while, and loaded again into a database that has lost what they hold."""

import errno
import os
import pathlib
import shutil
import time
from typing import NamedTuple

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from services.gateway.loader.loading import Keeping, Loader
from services.gateway.loader.store import open_store
from services.gateway.spool import kept as keeping
from services.gateway.spool.kept import kept, kept_path
from services.gateway.spool.segments import DEAD_DIRECTORY, OPEN, segments
from tests.gateway.loader.records import content, prices, record, write_segment
from tests.gateway.loader.running import DAY, following, ids, ids_of, load_once, loader_of, payloads, progress, query
from tests.gateway.loader.sums import assert_sums
from tests.gateway.loader.waiting import eventually
from tests.postgres import Postgres


@pytest.fixture
def spool(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "spool"


async def test_a_loaded_segment_is_kept_for_its_time_and_then_forgotten(spool: pathlib.Path, dsn: str) -> None:
    taken = [record() for _ in range(4)]
    for one in taken:
        write_segment(spool, payloads([one]))
    await load_once(spool, dsn)
    assert len(kept(spool)) == len(await progress(dsn)) == 4
    for one in kept(spool)[:3]:
        path = kept_path(spool, one)
        os.utime(path, (time.time() - 90_000, time.time() - 90_000))
    await load_once(spool, dsn)
    [left] = kept(spool)
    assert await progress(dsn) == {left.segment.name: left.segment.size}
    assert await ids(dsn) == ids_of(taken)


async def test_its_time_begins_when_it_is_loaded(spool: pathlib.Path, dsn: str) -> None:
    path = write_segment(spool, payloads([record()]))
    os.utime(path, (1e9, 1e9))
    await load_once(spool, dsn)
    assert len(kept(spool)) == 1


async def test_the_oldest_give_way_to_newer_ones(spool: pathlib.Path, dsn: str) -> None:
    paths = [write_segment(spool, payloads([record()])) for _ in range(5)]
    size = paths[0].stat().st_size
    registry = CollectorRegistry()
    await load_once(spool, dsn, registry, Keeping(86_400, 2 * size + size // 2))
    assert [one.segment.name for one in kept(spool)] == [path.stem for path in paths[3:]]
    assert registry.get_sample_value("hybrid_loader_kept_bytes") == sum(one.segment.size for one in kept(spool))
    assert set(await progress(dsn)) == {path.stem for path in paths[3:]}


async def test_nothing_is_kept_on_a_disk_that_is_full(
    spool: pathlib.Path, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=1 << 20))
    taken = record()
    write_segment(spool, payloads([taken]))
    await load_once(spool, dsn)
    assert (segments(spool), kept(spool)) == ([], [])
    assert await ids(dsn) == ids_of([taken])


async def test_a_segment_that_cannot_be_put_aside_makes_room_all_the_same(
    spool: pathlib.Path, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(keeping, "keep", full)
    taken = [record(), record()]
    for one in taken:
        write_segment(spool, payloads([one]))
    await load_once(spool, dsn)
    assert (segments(spool), await ids(dsn)) == ([], ids_of(taken))


async def test_a_database_that_went_back_in_time_gets_what_it_lacks(
    spool: pathlib.Path, postgres: Postgres, dsn: str
) -> None:
    """The database before some of it was loaded, as a restored backup or a replica that lagged has it."""
    taken = [record(attempts=number % 3) for number in range(60)]
    said = content()
    write_segment(spool, payloads(taken[:20]))
    path = write_segment(spool, payloads(taken[20:30]), suffix=OPEN)
    await load_once(spool, dsn)
    older = await postgres.copy_of(dsn.partition("@/")[2].partition("?")[0])
    try:
        with path.open("ab") as file:
            file.write(write_segment(spool.with_name("more"), payloads(taken[30:40])).read_bytes())
        write_segment(spool, payloads([*taken[40:], said, prices("v1", 2)]))
        path.rename(path.with_suffix(".segment"))
        await load_once(spool, dsn)
        assert await ids(older) == ids_of(taken[:30])
        registry = CollectorRegistry()
        await load_once(spool, older, registry)
        assert await ids(older) == ids_of(taken)
        await assert_sums(older)
        # Of two: the one that came later, and the one that was open then, from where it was.
        assert registry.get_sample_value("hybrid_loader_replays_total") == 2
        assert registry.get_sample_value("hybrid_loader_requests_total") == 30
        assert registry.get_sample_value("hybrid_loader_replayed_total") == 0
        assert registry.get_sample_value("hybrid_loader_behind_bytes") == 0
        for table, count in (("contents", 1), ("prices", 2)):
            [row] = await query(older, f"SELECT count(*) AS n FROM {table}")
            assert row["n"] == count
        assert await progress(older) == await progress(dsn)
    finally:
        await postgres.drop(older)


async def test_an_empty_database_gets_all_that_is_kept_from_a_loader_that_runs(
    spool: pathlib.Path, postgres: Postgres, dsn: str
) -> None:
    taken = [record() for _ in range(12)]
    other, registry = await postgres.copy_of("ledger"), CollectorRegistry()
    dsns = [dsn]
    loader = Loader(spool, lambda: open_store(dsns[-1]), registry, keeping=DAY)
    try:
        async with following(loader):
            for number in range(3):
                write_segment(spool, payloads(taken[4 * number : 4 * number + 4]))
            await eventually(lambda: not segments(spool))
            dsns.append(other)
            connection = await asyncpg.connect(postgres.dsn())
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hybrid-loader'"
            )
            await connection.close()
            await eventually(lambda: registry.get_sample_value("hybrid_loader_replays_total") == 3)
        assert await ids(other) == ids_of(taken)
        await assert_sums(other)
        # And it is no news to the one that had it all.
        again = CollectorRegistry()
        await load_once(spool, dsn, again)
        assert again.get_sample_value("hybrid_loader_replays_total") == 0
        assert await ids(dsn) == ids_of(taken)
    finally:
        await postgres.drop(other)


async def test_a_kept_segment_that_is_damaged_buries_its_damage_once(
    spool: pathlib.Path, postgres: Postgres, dsn: str
) -> None:
    taken = [record() for _ in range(3)]
    path = write_segment(spool, payloads(taken))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    await load_once(spool, dsn)
    buried = {one.name: one.read_bytes() for one in (spool / DEAD_DIRECTORY).iterdir()}
    assert len(buried) == 2
    other = await postgres.copy_of("ledger")
    try:
        await load_once(spool, other)
        assert await ids(other) == ids_of([taken[0], taken[2]])
        assert {one.name: one.read_bytes() for one in (spool / DEAD_DIRECTORY).iterdir()} == buried
    finally:
        await postgres.drop(other)


async def test_a_kept_segment_that_is_removed_by_hand_is_not_waited_for(spool: pathlib.Path, dsn: str) -> None:
    write_segment(spool, payloads([record()]))
    await load_once(spool, dsn)
    await query(dsn, "DELETE FROM spool_progress")
    loader = loader_of(spool, dsn, CollectorRegistry())
    [aside] = kept(spool)
    kept_path(spool, aside).write_bytes(b"")
    kept_path(spool, aside).unlink()
    async with following(loader):
        await eventually(loader.connected)
        assert loader.behind() == (0, 0.0)
