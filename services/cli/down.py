"""`hybrid down`: stops the supervisor of a home, and everything with it."""

import contextlib
import os
import signal

from services.cli.home import Home
from services.cli.lock import alive, held, released, written_pid
from services.cli.problem import Problem

# The supervisor bounds its own stopping; this is for one that does not come to it.
_KILLED_SECONDS = 20.0


def down(home: Home, seconds: float) -> bool:
    """Stop the mesh in that home; False when there was none. After `seconds` it is killed.

    Raises:
        Problem: it is still there.
    """
    if not held(home):
        return False
    pid = written_pid(home)
    # Without a pid, or with one that has ended, the watchdog is clearing up already.
    if pid is not None and alive(pid):
        _signal(pid, signal.SIGTERM)
        if released(home, seconds):
            return True
        _signal(pid, signal.SIGKILL)
    if not released(home, _KILLED_SECONDS):
        raise Problem(f"the mesh in {home.path} does not end; see {home.log('supervisor')}")
    return True


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
