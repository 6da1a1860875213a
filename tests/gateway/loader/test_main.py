"""The loader's process: its lock, its signals, and kill -9 at each of its steps."""

import asyncio
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from services.gateway.spool.segments import OPEN, segments
from tests.gateway.loader.records import record, write_segment
from tests.gateway.loader.waiting import eventually
from tests.postgres import EMBEDDED, Postgres, Servers

ROOT = pathlib.Path(__file__).parents[3]
CONFIG = "providers:\n  echo: {kind: echo}\nmodels:\n  - {name: echo, routes: [{provider: echo}]}\n"


@pytest.fixture
def home() -> Iterator[pathlib.Path]:
    # Short: the metrics' socket is in it.
    with tempfile.TemporaryDirectory(prefix="hi-") as directory:
        path = pathlib.Path(directory)
        (path / "run").mkdir()
        (path / "mesh.yaml").write_text(CONFIG)
        yield path


@pytest.fixture
def postgres(postgres_servers: Servers) -> Postgres:
    """One server is enough for what is asked of the process; what it writes is tried on both elsewhere."""
    return postgres_servers.of(EMBEDDED)


@contextlib.asynccontextmanager
async def loader(home: pathlib.Path, dsn: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.gateway.loader", "--config", "mesh.yaml", "--dsn", dsn),
        cwd=home,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"},
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def connected(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def stopped(process: asyncio.subprocess.Process) -> tuple[int, str]:
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_sigterm_loads_what_is_left_and_ends_well(home: pathlib.Path, dsn: str) -> None:
    async with loader(home, dsn) as process, connected(dsn) as connection:
        write_segment(home / "spool", [record().SerializeToString()])
        await eventually(lambda: holds(connection, "SELECT count(*) = 1 FROM requests"))
        assert (home / "run/loader.metrics.sock").is_socket()
        write_segment(home / "spool", [record().SerializeToString() for _ in range(500)])
        code, said = await stopped(process)
        assert (code, "loader.stopped" in said) == (0, True), said
        assert await connection.fetchval("SELECT count(*) FROM requests") == 501
    assert segments(home / "spool") == []


async def holds(connection: "asyncpg.Connection[asyncpg.Record]", condition: str) -> bool:
    return bool(await connection.fetchval(condition))


async def test_a_spool_has_one_loader(home: pathlib.Path, dsn: str) -> None:
    async with loader(home, dsn) as first, connected(dsn) as connection:
        write_segment(home / "spool", [record().SerializeToString()])
        await eventually(lambda: holds(connection, "SELECT count(*) = 1 FROM requests"))
        async with loader(home, dsn) as second, asyncio.timeout(20):
            _, said = await second.communicate()
            assert second.returncode == 1
            assert "another loader has this spool" in said.decode()
        assert (await stopped(first))[0] == 0


async def test_without_a_database_it_waits_until_it_is_told_to_stop(home: pathlib.Path) -> None:
    async with loader(home, f"postgresql://postgres@/nowhere?host={home}") as process:
        assert process.stderr
        async with asyncio.timeout(20):
            assert b"loader.failing" in await process.stderr.readline()
        code, said = await stopped(process)
        assert (code, "loader.stopped" in said) == (0, True), said


async def test_a_mesh_without_a_database_is_told_so(home: pathlib.Path, dsn: str) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        (sys.executable, "-m", "services.gateway.loader", "--config", "mesh.yaml"),
        cwd=home,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 1
    assert "no database: give --dsn, or set ledger.dsn" in done.stderr


# Each table that a transaction comes to: before COPY's rows are inserted, between the two inserts, before the progress.
@pytest.mark.parametrize("table", ["requests", "attempts", "spool_progress"])
async def test_killed_before_commit_it_loads_once_when_it_is_back(home: pathlib.Path, dsn: str, table: str) -> None:
    write_segment(home / "spool", [record(attempts=2).SerializeToString() for _ in range(100)])
    async with connected(dsn) as connection, connected(dsn) as blocking:
        async with loader(home, dsn) as process, blocking.transaction():
            await blocking.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
            await eventually(lambda: holds(connection, _WAITING))
            process.kill()
            await process.wait()
        await eventually(lambda: holds(connection, _ALONE))
        assert await connection.fetchval("SELECT count(*) FROM requests") == 0
        assert len(segments(home / "spool")) == 1
        async with loader(home, dsn) as process:
            await eventually(lambda: holds(connection, "SELECT count(*) = 100 FROM requests"))
            assert (await stopped(process))[0] == 0
        assert await connection.fetchval("SELECT count(*) FROM requests") == 100
        assert await connection.fetchval("SELECT count(*) FROM attempts") == 200
    assert segments(home / "spool") == []


_WAITING = (
    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'hybrid-loader' AND wait_event_type = 'Lock')"
)
_ALONE = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'hybrid-loader')"


async def test_killed_after_commit_and_before_the_deletion_it_loads_once(home: pathlib.Path, dsn: str) -> None:
    # A segment that is open is loaded and not deleted: the moment between the two, for as long as it is needed.
    path = write_segment(home / "spool", [record().SerializeToString() for _ in range(100)], suffix=OPEN)
    async with connected(dsn) as connection:
        async with loader(home, dsn) as process:
            await eventually(lambda: holds(connection, "SELECT count(*) = 100 FROM requests"))
            process.kill()
        path.rename(path.with_suffix(".segment"))
        async with loader(home, dsn) as process:
            await eventually(lambda: not segments(home / "spool"))
            assert (await stopped(process))[0] == 0
        assert await connection.fetchval("SELECT count(*) FROM requests") == 100
    assert segments(home / "spool") == []


async def test_tables_of_another_release_are_refused_with_what_to_do(home: pathlib.Path, dsn: str) -> None:
    async with connected(dsn) as connection:
        await connection.execute("DELETE FROM schema_migrations WHERE version = '20261125230200'")
    async with loader(home, dsn) as process, asyncio.timeout(20):
        _, said = await process.communicate()
        assert (process.returncode, "20261125230200; run `hybrid migrate`" in said.decode()) == (1, True), said


async def test_beside_loading_it_keeps_the_ledger_in_shape(home: pathlib.Path, dsn: str) -> None:
    months = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'requests'::regclass"
    async with connected(dsn) as connection:
        before = await connection.fetchval(months)
        async with loader(home, dsn) as process:
            await eventually(lambda: holds(connection, f"SELECT ({months}) = {before + 1}"))
            assert (await stopped(process))[0] == 0
