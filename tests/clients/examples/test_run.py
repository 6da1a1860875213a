"""Programs are given up in time, also those that say nothing, and nothing that they started stays."""

import pathlib
import shutil

import psutil
import pytest

from tests.clients.examples.conftest import Run
from tests.mesh.driver import wait_until

pytestmark = [pytest.mark.clients, pytest.mark.timeout(20)]


def gone(pid: int) -> bool:
    """Whether the process has ended; that of another parent may stay a zombie for a while."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_program_that_says_nothing_is_given_up_with_what_it_has_started(run: Run, tmp_path: pathlib.Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(AssertionError, match="not within 1 s"):
        run("sh", "-c", f"sleep 60 & echo $! > {pid}; wait", seconds=1)
    wait_until(lambda: gone(int(pid.read_text())), seconds=30)


def test_programs_are_found_where_the_reader_has_them(
    run: Run, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy("/bin/echo", tmp_path / "of-a-reader")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert run("of-a-reader", "here").text == "here\n"
