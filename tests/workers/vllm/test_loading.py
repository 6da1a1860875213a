"""Waiting for an engine that is being built."""

import asyncio
import multiprocessing
import threading
import time

import pytest

from services.workers.vllm import loading
from services.workers.vllm.engine import Engine
from services.workers.vllm.progress import Progress
from tests.workers.vllm.fakes import FakeLlm, fake_engine


def _ignore(_: float) -> None:
    pass


async def test_how_far_the_build_has_come_is_told_and_never_less_than_before() -> None:
    progress, told = Progress(), list[float]()
    heard = threading.Event()

    def report(share: float) -> None:
        told.append(share)
        if share >= Progress.CONFIGURED:
            heard.set()

    def build() -> Engine:
        progress.reach(Progress.CONFIGURED)
        assert heard.wait(10)
        progress.reach(Progress.IMPORTED)
        return fake_engine(FakeLlm([]))

    await loading.built(build, progress, report)
    assert told == sorted(set(told))
    assert told[-1] == Progress.CONFIGURED


def test_a_forked_process_tells_of_the_weights_that_it_reads() -> None:
    progress = Progress()
    child = multiprocessing.get_context("fork").Process(target=progress.weights, args=(0.5,))
    child.start()
    child.join(10)
    assert Progress.CONFIGURED < progress.share < Progress.WEIGHED


async def test_the_loop_runs_while_the_engine_is_built() -> None:
    alive, engine = threading.Event(), fake_engine(FakeLlm([]))

    def build() -> Engine:
        assert alive.wait(10)
        return engine

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(loading.built(build, Progress(), _ignore))
        tasks.create_task(asyncio.to_thread(alive.set))
    assert waiting.result() is engine


async def test_an_engine_that_comes_too_late_is_stopped() -> None:
    begun, go = threading.Event(), threading.Event()
    llm = FakeLlm([])

    def build() -> Engine:
        begun.set()
        assert go.wait(10)
        return fake_engine(llm)

    waiting = asyncio.create_task(loading.built(build, Progress(), _ignore))
    assert await asyncio.to_thread(begun.wait, 10)
    waiting.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert llm.stopped_after == 0


async def test_the_process_of_a_half_built_engine_is_killed() -> None:
    begun = threading.Event()
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))

    def build() -> Engine:
        child.start()
        begun.set()
        child.join()
        raise RuntimeError("the engine's process has ended")

    waiting = asyncio.create_task(loading.built(build, Progress(), _ignore))
    assert await asyncio.to_thread(begun.wait, 10)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert child.exitcode == -9


async def test_what_fails_to_load_says_why() -> None:
    def build() -> Engine:
        raise ValueError("no such model")

    with pytest.raises(ValueError, match="no such model"):
        await loading.built(build, Progress(), _ignore)
