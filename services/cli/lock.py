"""One supervisor per home.

The lock is on the directory itself: a lock on the pid file would be lost when somebody removes that file. The watchdog
holds the same lock, so that nobody moves in before it has cleaned up.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from services.cli.home import Home
from services.cli.problem import Problem

# How long a home is expected to stay locked after its supervisor was killed: the watchdog is clearing up.
_LEAVING_SECONDS = 15.0
_PAUSE_SECONDS = 0.05


@contextlib.contextmanager
def locked(home: Home) -> Iterator[int]:
    """Hold the home, with the pid file written; yields the descriptor that holds the lock.

    Raises:
        Problem: another supervisor holds it.
    """
    descriptor = os.open(home.path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _take(home, descriptor)
        home.pid.write_text(f"{os.getpid()}\n", encoding="ascii")
        yield descriptor
    finally:
        os.close(descriptor)


def _take(home: Home, descriptor: int) -> None:
    until = time.monotonic() + _LEAVING_SECONDS
    while not _try(descriptor):
        pid = written_pid(home)
        if (pid is not None and alive(pid)) or time.monotonic() > until:
            who = f"pid {pid}" if pid else "pid unknown"
            raise Problem(
                f"a mesh is already running in {home.path} ({who}); `hybrid down --home {home.path}` stops it"
            )
        time.sleep(_PAUSE_SECONDS)


def _try(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def held(home: Home) -> bool:
    """Whether a supervisor, or the watchdog it left behind, holds the home."""
    try:
        descriptor = os.open(home.path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        return not _try(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def released(home: Home, seconds: float) -> bool:
    """Wait until nobody holds the home; False when that took too long."""
    until = time.monotonic() + seconds
    while held(home):
        if time.monotonic() > until:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True


def written_pid(home: Home) -> int | None:
    """The pid in the pid file, whoever that is by now."""
    try:
        return int(home.pid.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
