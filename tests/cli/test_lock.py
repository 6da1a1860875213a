"""One supervisor per home."""

import os
import pathlib

import pytest

from services.cli import lock
from services.cli.home import Home
from services.cli.problem import Problem


def test_who_holds_a_home_is_written_there(home: Home) -> None:
    with lock.locked(home):
        assert lock.written_pid(home) == os.getpid()
        assert lock.held(home)
    assert not lock.held(home)


def test_a_held_home_is_refused_naming_its_holder(home: Home) -> None:
    with lock.locked(home), pytest.raises(Problem, match=f"already running .*pid {os.getpid()}"), lock.locked(home):
        pass


def test_a_pid_file_alone_holds_nothing(home: Home) -> None:
    home.pid.write_text(f"{os.getpid()}\n")
    with lock.locked(home):
        pass


def test_a_home_that_does_not_exist_is_not_held() -> None:
    assert not lock.held(Home(pathlib.Path("/nonexistent/home")))


def test_waiting_for_a_held_home_ends(home: Home) -> None:
    with lock.locked(home):
        assert not lock.released(home, 0.01)
    assert lock.released(home, 0.01)


@pytest.mark.parametrize("text", ["", "x", "1 2"])
def test_a_pid_file_with_something_else_in_it_names_nobody(home: Home, text: str) -> None:
    home.pid.write_text(text)
    assert lock.written_pid(home) is None
