"""Stopping a mesh from another process."""

import pathlib
import subprocess
import sys

from services.cli.down import down
from services.cli.home import Home

CLONE = pathlib.Path(__file__).parents[2]

# Holds the home; asked to end it does, or not.
HOLDER = """
import pathlib, signal, sys
from services.cli.home import Home
from services.cli.lock import locked
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[2] == "deaf" else signal.SIG_DFL)
with locked(Home(pathlib.Path(sys.argv[1]))):
    print("held", flush=True)
    signal.pause()
"""


def holder(home: Home, how: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home.path), how], stdout=subprocess.PIPE, text=True, cwd=CLONE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_supervisor_is_asked_to_end(home: Home) -> None:
    with holder(home, "polite") as process:
        assert down(home, 30.0)
        assert process.wait() == -15


def test_one_that_does_not_is_killed(home: Home) -> None:
    with holder(home, "deaf") as process:
        assert down(home, 0.1)
        assert process.wait() == -9


def test_a_home_that_nobody_holds_needs_nothing(home: Home) -> None:
    home.pid.write_text("1\n")
    assert not down(home, 30.0)
