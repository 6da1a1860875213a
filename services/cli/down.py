"""`hybrid down`: stops the supervisor of a home, and everything with it."""

import contextlib
import os
import select
import signal
from collections.abc import Iterator

from services.cli.home import Home
from services.cli.lock import held, released, written_pid
from services.cli.problem import Problem

# What is left to do once the supervisor has ended is bounded by its watchdog.
_CLEARED_SECONDS = 30.0


def down(home: Home, seconds: float) -> bool:
    """Stop the mesh in that home; False when there was none. After `seconds` it is killed.

    Raises:
        Problem: something of it is still there.
    """
    if not held(home):
        return False
    # Without a supervisor, its watchdog is clearing up already.
    with _supervisor(home) as supervisor:
        if supervisor is not None and not _ended(supervisor, signal.SIGTERM, seconds):
            _ended(supervisor, signal.SIGKILL, _CLEARED_SECONDS)
    if not released(home, _CLEARED_SECONDS):
        raise Problem(f"the mesh in {home.path} does not end; see {home.log('supervisor')}")
    return True


@contextlib.contextmanager
def _supervisor(home: Home) -> Iterator[int | None]:
    """A descriptor of the supervisor's process, or None: unlike its number, that never comes to mean another."""
    pid = written_pid(home)
    try:
        descriptor = None if pid is None else os.pidfd_open(pid)
    except ProcessLookupError:
        descriptor = None
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _ended(process: int, number: int, seconds: float) -> bool:
    """Signal the process, and wait for its end; False when that takes too long."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, number)
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
