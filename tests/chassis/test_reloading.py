"""Taking up a configuration again."""

import asyncio
import os
import pathlib
import signal
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from services.chassis import reloading
from services.chassis.config import ConfigError
from services.chassis.reloading import Reloading

_SECONDS = 30.0


class Process:
    """Takes up numbers from a file."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.taken: asyncio.Queue[int] = asyncio.Queue()
        self.registry = CollectorRegistry()
        self.reloading = Reloading(
            path, self._read(path), read=self._read, adopt=self._adopt, version=str, registry=self.registry
        )

    def _read(self, path: pathlib.Path) -> int:
        text = path.read_text()
        if not text.isdigit():
            raise ConfigError([f"{path}:1: not a number"])
        return int(text)

    def _adopt(self, number: int) -> None:
        if number > 100:
            raise ConfigError(["too many"])
        self.taken.put_nowait(number)

    def count(self, result: str) -> float | None:
        return self.registry.get_sample_value("hybrid_config_reloads_total", {"result": result})

    async def next(self) -> int:
        async with asyncio.timeout(_SECONDS):
            return await self.taken.get()


@pytest.fixture
async def process(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Process]:
    """One whose file says 1."""
    monkeypatch.setattr(reloading, "_POLL_SECONDS", 0.02)
    path = tmp_path / "number"
    path.write_text("1")
    made = Process(path)
    following = asyncio.create_task(made.reloading.follow())
    await asyncio.sleep(0)
    yield made
    following.cancel()


async def test_a_file_that_is_written_again_is_taken_up(process: Process) -> None:
    process.path.write_text("22")
    assert await process.next() == 22
    assert process.registry.get_sample_value("hybrid_config_info", {"version": "22"}) == 1
    assert process.registry.get_sample_value("hybrid_config_info", {"version": "1"}) is None


async def test_a_file_that_is_put_in_the_others_place_is_taken_up(process: Process) -> None:
    before = process.path.stat()
    other = process.path.with_suffix(".new")
    other.write_text("3")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    process.path.unlink()  # as some editors do it, with a moment in between
    await asyncio.sleep(0.05)
    other.rename(process.path)
    assert await process.next() == 3


async def test_a_file_is_not_read_while_it_is_being_written(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two looks are a tenth of that apart at least, which is longer than the writer's pauses.
    monkeypatch.setattr(reloading, "_POLL_SECONDS", 0.1)
    with process.path.open("w") as file:
        for size in range(1, 100):
            file.write("1")
            file.flush()
            assert process.taken.empty(), size
            await asyncio.sleep(0.005)
        file.seek(0)
        file.truncate()
        file.write("7")
    assert await process.next() == 7
    assert process.count("refused") == 0


async def test_who_asks_by_signal_need_not_wait(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "_POLL_SECONDS", 60.0)
    await asyncio.sleep(0.05)
    process.path.write_text("4")
    os.kill(os.getpid(), signal.SIGHUP)
    assert await process.next() == 4


@pytest.mark.parametrize("bad", ["x", "101"])
async def test_what_cannot_be_used_changes_nothing_and_is_counted(process: Process, bad: str) -> None:
    process.path.write_text(bad)
    await process.reloading.reload()
    assert process.taken.empty()
    assert (process.count("refused"), process.count("applied")) == (1, 0)
    assert process.registry.get_sample_value("hybrid_config_last_reload_successful") == 0
    assert process.registry.get_sample_value("hybrid_config_info", {"version": "1"}) == 1
    process.path.write_text("1")
    await process.reloading.reload()
    assert process.registry.get_sample_value("hybrid_config_last_reload_successful") == 1


async def test_what_says_the_same_is_not_taken_up_again(process: Process) -> None:
    process.path.touch()
    await process.reloading.reload()
    assert process.taken.empty()
    assert process.count("unchanged") == 1
