"""One supervised process."""

import asyncio
import dataclasses
import os

import pytest

from services.cli import lock
from services.cli.backoff import Backoff
from services.cli.children import open_children
from services.cli.home import Home
from services.cli.process import Process, StartFailed
from services.cli.spec import Spec, Successor
from services.cli.state import ProcessState

SECONDS = 30.0
# Forgives every crash at once, so that only the number of lives can end a start.
QUICK = Backoff(first_seconds=0.01, forgiven_seconds=0.0)


async def never() -> None:
    await asyncio.Event().wait()


def spec(*command: str) -> Spec:
    return Spec(name="one", command=command, environment=os.environ, tier=0, ready=never, stop_seconds=SECONDS)


async def run(home: Home, wanted: Spec) -> list[ProcessState]:
    states: list[ProcessState] = []
    with lock.locked(home) as held:
        async with open_children(home, held) as children, asyncio.timeout(SECONDS):
            await Process(wanted, home, children, states.append).run([], QUICK)
    return states


async def test_a_process_that_is_never_ready_fails_the_start_however_long_it_lives(home: Home) -> None:
    with pytest.raises(StartFailed, match="one exited with 3 before it was ready"):
        await run(home, spec("/bin/sh", "-c", "exit 3"))


async def test_one_that_takes_too_long_fails_the_start(home: Home) -> None:
    slow = dataclasses.replace(spec("sleep", "600"), start_seconds=0.05)
    with pytest.raises(StartFailed, match="one was ended by signal 9 before it was ready"):
        await run(home, slow)


async def ready() -> None:
    return


class Counted:
    """A Backoff that waits for nothing, and keeps what was to be waited for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def crashes(self, before: int, *, lived: float) -> int:
        return Backoff().crashes(before, lived=lived)

    def delay(self, crashes: int) -> float:
        self.asked.append(crashes)
        return 0.0


@pytest.mark.parametrize(("code", "asked"), [(0, [1, 1, 1]), (1, [1, 2, 3])])
async def test_ends_in_order_do_not_make_the_next_start_wait_longer_as_crashes_do(
    home: Home, code: int, asked: list[int]
) -> None:
    once = dataclasses.replace(spec("/bin/sh", "-c", f"sleep 0.1; exit {code}"), ready=ready)
    backoff, process = Counted(), None

    def changed(state: ProcessState) -> None:
        if state.state == "restarting" and len(backoff.asked) == 3:
            process.give_up()

    with lock.locked(home) as held:
        async with open_children(home, held) as children, asyncio.timeout(SECONDS):
            process = Process(once, home, children, changed)
            await process.run([], backoff)
    assert backoff.asked[:3] == asked


async def test_a_program_that_is_not_there_fails_the_start_and_is_named(home: Home) -> None:
    with pytest.raises(StartFailed, match="/nonexistent/program"):
        await run(home, spec("/nonexistent/program"))


async def test_a_step_is_done_when_its_program_has_ended_well(home: Home) -> None:
    states = await run(home, dataclasses.replace(spec("true"), once=True))
    assert [state.state for state in states] == ["starting", "done"]


async def test_a_program_finds_no_input_and_the_home_as_its_directory(home: Home) -> None:
    await run(home, dataclasses.replace(spec("/bin/sh", "-c", "cat; pwd"), once=True))
    assert home.log("one").read_text() == f"{home.path}\n"


async def test_what_a_program_leaves_in_its_group_ends_with_it(home: Home) -> None:
    left = "sleep 600 & echo $! > left; exit 0"
    await run(home, dataclasses.replace(spec("/bin/sh", "-c", left), once=True))
    with pytest.raises(ProcessLookupError):
        os.kill(int((home.path / "left").read_text()), 0)


async def test_what_has_left_its_group_ends_with_the_supervisor(home: Home) -> None:
    left = "setsid sh -c 'echo $$ > left; exec sleep 600' & while [ ! -s left ]; do sleep 0.01; done"
    await run(home, dataclasses.replace(spec("/bin/sh", "-c", left), once=True))
    pid = int((home.path / "left").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_successor_takes_over_while_the_one_before_runs_on_and_a_third_waits_for_that(home: Home) -> None:
    states: list[ProcessState] = []
    # The first ends when it is told to; its successors stay.
    leaving = home.path / "leave"
    first = ("/bin/sh", "-c", f"until [ -e {leaving} ]; do sleep 0.02; done")
    wanted = dataclasses.replace(
        spec(*first), ready=ready, succeed=lambda number: Successor(("sleep", f"60{number}"), ready)
    )
    with lock.locked(home) as held:
        async with open_children(home, held) as children, asyncio.timeout(SECONDS), asyncio.TaskGroup() as tasks:
            process = Process(wanted, home, children, states.append)
            running = tasks.create_task(process.run([], QUICK))
            await process.ready.wait()
            before = process.state.pid
            await process.hand_over()
            after = process.state.pid
            assert process.state.state == "ready"
            assert before != after
            third = tasks.create_task(process.hand_over())
            await asyncio.sleep(0.05)
            assert process.state.pid == after
            leaving.touch()
            await third
            assert process.state.pid not in (before, after)
            assert not running.done()
            await process.stop()
    assert {state.restarts for state in states} == {0}


async def test_one_that_was_succeeded_and_ends_not_by_itself_is_ended_so_that_others_can_follow(home: Home) -> None:
    wanted = dataclasses.replace(
        spec("sleep", "600"),
        ready=ready,
        stop_seconds=0.1,
        succeed=lambda number: Successor(("sleep", f"60{number}"), ready),
    )
    with lock.locked(home) as held:
        async with open_children(home, held) as children, asyncio.timeout(SECONDS), asyncio.TaskGroup() as tasks:
            process = Process(wanted, home, children, lambda _: None)
            tasks.create_task(process.run([], QUICK))
            await process.ready.wait()
            seen = [process.state.pid]
            for _ in range(3):
                await process.hand_over()
                seen.append(process.state.pid)
            assert len(set(seen)) == 4
            await process.stop()


async def test_a_successor_that_fails_leaves_all_as_it_was(home: Home) -> None:
    wanted = dataclasses.replace(
        spec("sleep", "600"), ready=ready, succeed=lambda _: Successor(("/bin/sh", "-c", "exit 3"), never)
    )
    with lock.locked(home) as held:
        async with open_children(home, held) as children, asyncio.timeout(SECONDS), asyncio.TaskGroup() as tasks:
            process = Process(wanted, home, children, lambda _: None)
            tasks.create_task(process.run([], QUICK))
            await process.ready.wait()
            before = process.state
            await process.hand_over()
            assert process.state == before
            await process.stop()
