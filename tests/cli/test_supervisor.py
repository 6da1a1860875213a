"""The supervisor with real processes, each small."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from services.cli import lock, state
from services.cli.home import Home
from services.cli.state import MeshState, ProcessState

PROGRAM = pathlib.Path(__file__).with_name("mesh_of_standins.py")
CLONE = pathlib.Path(__file__).parents[2]
SECONDS = 30.0
NAMES = ["store", "left", "right", "front"]


def launched(home: Home, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(home.path), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{CLONE}:{CLONE / 'gen'}"},
    )


@contextlib.contextmanager
def supervisor(home: Home, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    with launched(home, *arguments) as process:
        try:
            yield process
        finally:
            process.kill()
            process.communicate()
            assert lock.released(home, SECONDS)


@contextlib.contextmanager
def ready(home: Home, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    with supervisor(home, *arguments) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def until(condition: Callable[[], bool]) -> None:
    """Wait for what only the kernel or another process can bring about."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def there(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def mesh(home: Home) -> MeshState:
    found = state.read(home)
    assert found is not None
    return found


def process(home: Home, name: str) -> ProcessState:
    return next(one for one in mesh(home).processes if one.name == name)


def pid(home: Home, name: str) -> int:
    found = process(home, name).pid
    assert found is not None
    return found


def everyone(home: Home) -> list[int]:
    """The stand-ins and the children that they have started themselves."""
    return [pid(home, name) for name in NAMES] + [int((home.path / f"{name}.child").read_text()) for name in NAMES]


def nothing_is_left(home: Home, pids: list[int]) -> None:
    assert lock.released(home, SECONDS)
    assert [one for one in pids if there(one)] == []
    assert list(home.run.iterdir()) == []
    assert not home.pid.exists()


def test_processes_start_once_those_that_they_need_are_ready_and_stop_the_other_way_round(home: Home) -> None:
    with ready(home) as supervising:
        assert (home.path / "started").read_text().split()[0] == "store"
        assert (home.path / "started").read_text().split()[3] == "front"
        pids = everyone(home)
        assert all(there(one) for one in pids)
        supervising.send_signal(signal.SIGTERM)
        assert supervising.wait(SECONDS) == 0
        stopped = (home.path / "stopped").read_text().split()
        assert (stopped[0], set(stopped[1:3]), stopped[3]) == ("front", {"left", "right"}, "store")
        nothing_is_left(home, pids)


def test_a_process_that_dies_is_started_again_after_the_rest_of_its_group_was_killed(home: Home) -> None:
    with ready(home):
        dead, orphan = pid(home, "left"), int((home.path / "left.child").read_text())
        os.kill(dead, signal.SIGKILL)
        until(lambda: process(home, "left").restarts == 1 and process(home, "left").state == "ready")
        assert not there(orphan)
        assert pid(home, "left") != dead
        assert [process(home, name).restarts for name in NAMES] == [0, 1, 0, 0]


@pytest.mark.slow
def test_a_supervisor_that_is_killed_leaves_no_process_and_no_socket(home: Home) -> None:
    with ready(home, "right=deaf") as supervising:
        pids = everyone(home)
        supervising.kill()
        nothing_is_left(home, pids)


def test_a_watchdog_that_is_killed_is_replaced_by_one_that_knows_every_process(home: Home) -> None:
    def watchdogs() -> list[int]:
        found = subprocess.run(["pgrep", "-f", f"watchdog.py {home.path}"], capture_output=True, text=True, check=False)
        return [int(one) for one in found.stdout.split()]

    with ready(home) as supervising:
        (first,) = watchdogs()
        os.kill(first, signal.SIGKILL)
        until(lambda: len(watchdogs()) == 1 and watchdogs() != [first])
        pids = everyone(home)
        supervising.kill()
        nothing_is_left(home, pids)


def test_a_process_that_does_not_stop_is_killed_with_its_group(home: Home) -> None:
    with ready(home, "front=deaf") as supervising:
        pids = everyone(home)
        supervising.send_signal(signal.SIGTERM)
        assert supervising.wait(SECONDS) == 0
        assert (home.path / "stopped").read_text().split()[-1] == "store"
        nothing_is_left(home, pids)


def test_a_second_request_to_stop_kills(home: Home) -> None:
    with ready(home, "front=held") as supervising:
        pids = everyone(home)
        supervising.send_signal(signal.SIGINT)
        until(lambda: mesh(home).state == "stopping")
        supervising.send_signal(signal.SIGINT)
        assert supervising.wait(SECONDS) == 0
        assert not (home.path / "stopped").exists()
        assert "restarting" not in (home.path / "told").read_text()
        nothing_is_left(home, pids)


def test_a_mesh_that_cannot_start_says_why_and_stops(home: Home) -> None:
    with supervisor(home, "right=crash") as supervising:
        _, said = supervising.communicate(timeout=SECONDS)
        assert supervising.returncode == 1
        assert "right exited with 1 before it was ready" in said
        assert "its disk is made of cheese" in said
        assert (home.path / "started").read_text().split().count("right") == 3
        nothing_is_left(home, [])


def test_a_second_supervisor_in_the_same_home_is_refused_and_harms_nothing(home: Home) -> None:
    with ready(home) as first:
        with launched(home) as second:
            _, said = second.communicate(timeout=SECONDS)
        assert second.returncode == 1
        assert f"already running in {home.path} (pid {first.pid})" in said
        assert all(there(one) for one in everyone(home))


def test_a_pid_file_that_was_left_behind_is_no_obstacle(home: Home) -> None:
    home.pid.write_text("1\n")
    with ready(home) as supervising:
        assert lock.written_pid(home) == supervising.pid


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_mesh_may_be_started_again_as_soon_as_the_last_one_ends(home: Home, number: int) -> None:
    with ready(home) as first:
        first.send_signal(number)
        first.wait(SECONDS)
        with ready(home):
            assert mesh(home).state == "ready"


def test_a_log_stays_small_while_its_process_runs(home: Home) -> None:
    with ready(home):
        log = home.log("left")
        with log.open("ab") as file:
            file.write(b"x" * (17 << 20))
        until(lambda: log.stat().st_size < 1 << 20)
        assert home.log("left").with_suffix(".log.1").stat().st_size >= 17 << 20


def phases(home: Home) -> dict[str, str]:
    return {one.name: one.state for one in mesh(home).processes}


def test_processes_come_and_go_while_the_others_run_on(home: Home) -> None:
    with ready(home) as supervising:
        before, gone = {name: pid(home, name) for name in NAMES}, pid(home, "right")
        supervising.send_signal(signal.SIGUSR1)
        until(lambda: phases(home) == dict.fromkeys(["store", "left", "front", "new"], "ready"))
        assert not there(gone)
        assert {name: pid(home, name) for name in NAMES if name != "right"} == {
            name: number for name, number in before.items() if name != "right"
        }
        supervising.send_signal(signal.SIGTERM)
        assert supervising.wait(SECONDS) == 0
        assert (home.path / "stopped").read_text().split().count("new") == 1


def test_one_that_joins_and_does_not_start_leaves_the_mesh_alone_and_may_be_tried_again(home: Home) -> None:
    with ready(home, "new=crash") as supervising:
        for times in (3, 6):
            supervising.send_signal(signal.SIGUSR1)
            until(lambda times=times: (home.path / "started").read_text().split().count("new") == times)  # type: ignore[misc]
            until(lambda: phases(home).get("new") == "stopped")
        assert phases(home) == {"store": "ready", "left": "ready", "front": "ready", "new": "stopped"}
        supervising.send_signal(signal.SIGTERM)
        assert supervising.wait(SECONDS) == 0


def test_what_ends_may_be_asked_to_twice_and_is_started_when_it_is_wanted_again(home: Home) -> None:
    with ready(home, "right=held", "new=held") as supervising:
        changed = dict.fromkeys(["store", "left", "front", "new"], "ready")
        supervising.send_signal(signal.SIGUSR1)
        until(lambda: phases(home)["right"] == "stopping")
        supervising.send_signal(signal.SIGUSR1)
        (home.path / "right.end").touch()
        until(lambda: phases(home) == changed)
        gone = pid(home, "new")
        supervising.send_signal(signal.SIGUSR2)
        until(lambda: phases(home)["new"] == "stopping")
        supervising.send_signal(signal.SIGUSR1)
        (home.path / "new.end").touch()
        until(lambda: phases(home) == changed and pid(home, "new") != gone)
        supervising.send_signal(signal.SIGTERM)
        assert supervising.wait(SECONDS) == 0


def test_a_mesh_that_is_still_starting_takes_up_nothing(home: Home) -> None:
    with supervisor(home, "store=late") as supervising:
        until(lambda: state.read(home) is not None)
        supervising.send_signal(signal.SIGUSR1)
        (home.path / "store.begin").touch()
        until(lambda: mesh(home).state == "ready")
        assert phases(home) == dict.fromkeys(NAMES, "ready")
