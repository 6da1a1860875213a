"""The embedded PostgreSQL, for real."""

import asyncio
import os
import pathlib
import signal

import asyncpg
import pytest

from services.cli import lock, postgres
from services.cli.backoff import Backoff
from services.cli.children import Children, open_children
from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.process import Process
from services.cli.state import ProcessState

SECONDS = 60.0


class Running:
    """The server and, before it, the making of its data."""

    def __init__(self, home: Home, children: Children, embedded: postgres.Embedded, tasks: asyncio.TaskGroup) -> None:
        self.states: asyncio.Queue[ProcessState] = asyncio.Queue()
        made = [Process(spec, home, children, self.states.put_nowait) for spec in embedded.specs(os.environ)]
        self.server = made[-1]
        for index, process in enumerate(made):
            tasks.create_task(process.run(made[:index], Backoff()))

    async def enters(self, phase: str) -> ProcessState:
        async with asyncio.timeout(SECONDS):
            while (state := await self.states.get()) and (state.name, state.state) != (postgres.NAME, phase):
                pass
        return state


async def query(embedded: postgres.Embedded, sql: str) -> list[int]:
    connection = await asyncpg.connect(embedded.dsn.replace("/hybridinference?", "/postgres?"))
    try:
        return [row[0] for row in await connection.fetch(sql)]
    finally:
        await connection.close()


async def test_its_data_survive_a_stop_and_a_kill(home: Home) -> None:
    embedded = postgres.prepare(home)
    with lock.locked(home) as held:
        async with open_children(home, held) as children, asyncio.TaskGroup() as tasks:
            running = Running(home, children, embedded, tasks)
            state = await running.enters("ready")
            await query(embedded, "CREATE TABLE t AS SELECT 1 AS x")
            assert state.pid is not None
            os.kill(state.pid, signal.SIGKILL)
            again = await running.enters("ready")
            assert (again.restarts, again.pid != state.pid) == (1, True)
            assert await query(embedded, "INSERT INTO t VALUES (2) RETURNING x") == [2]
            await running.server.stop()
        assert not (home.postgres / "data" / "postmaster.pid").exists()
        assert list(embedded.socket.iterdir()) == []
    with lock.locked(home) as held:
        async with open_children(home, held) as children, asyncio.TaskGroup() as tasks:
            running = Running(home, children, postgres.prepare(home), tasks)
            await running.enters("ready")
            assert await query(embedded, "SELECT x FROM t ORDER BY x") == [1, 2]
            await running.server.stop()


def test_nobody_else_can_reach_data_or_socket(home: Home) -> None:
    embedded = postgres.prepare(home)
    assert home.postgres.stat().st_mode & 0o066 == 0
    assert embedded.socket.stat().st_mode & 0o077 == 0
    assert home.path.stat().st_mode & 0o007 == 0


def test_a_home_deep_down_has_its_socket_elsewhere(home: Home) -> None:
    deep = Home(home.path / ("d" * 100))
    deep.prepare()
    embedded = postgres.prepare(deep)
    try:
        assert len(f"{embedded.socket}/.s.PGSQL.5432") < 108
        assert str(embedded.socket) in embedded.dsn
    finally:
        embedded.socket.rmdir()


def test_data_of_another_version_are_refused(home: Home) -> None:
    data = home.postgres / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(Problem, match="is of PostgreSQL 9, and this is"):
        postgres.prepare(home)
    assert pathlib.Path(data / "PG_VERSION").read_text() == "9\n"
