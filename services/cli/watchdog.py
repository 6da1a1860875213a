"""Clears up behind a supervisor, however that ended.

Run as a program with a home directory as argument and the read end of a pipe as standard input. Only the supervisor
holds the write end, so its end of file is the supervisor's end. Lines on the pipe: `add PGID SIGNAL`, `remove PGID`,
`path PATH` (to be removed at the end). Standard library only: it starts in a few milliseconds and stays small.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import sys
import time
from collections.abc import Iterable

_GRACE_SECONDS = 5.0
_PAUSE_SECONDS = 0.02

# What a mesh makes in `run` besides sockets.
_DIRECTORIES = ("envoy", "last-good", "tmp")
_FILES = ("supervisor.json", "supervisor.new")


class Register:
    """The process groups to end, each with the signal that asks it to, and the directories to remove."""

    def __init__(self) -> None:
        self.groups: dict[int, int] = {}
        self.paths: list[pathlib.Path] = []

    def read(self, line: str) -> None:
        """Take one line. A line that makes no sense is left alone: clearing up must not fail."""
        word, _, rest = line.strip().partition(" ")
        with contextlib.suppress(ValueError):
            if word == "add":
                group, number = rest.split()
                self.groups[int(group)] = int(number)
            elif word == "remove":
                self.groups.pop(int(rest), None)
            elif word == "path":
                self.paths.append(pathlib.Path(rest))


def end(groups: dict[int, int], *, grace: float = _GRACE_SECONDS) -> None:
    """Ask every group to end, and kill what is left after `grace` seconds."""
    left = {group for group, number in groups.items() if _signal(group, number)}
    until = time.monotonic() + grace
    # A group that was seen to be gone is never looked at again: its number may belong to somebody else by then.
    while left and time.monotonic() < until:
        time.sleep(_PAUSE_SECONDS)
        left = {group for group in left if _signal(group, 0)}
    for group in left:
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> bool:
    """Signal a group; False when there is no such group."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user, or its leader is a zombie: there all the same
        return True
    return True


def clear(home: pathlib.Path, paths: Iterable[pathlib.Path]) -> None:
    """Remove what only a running mesh has: what it makes in `run`, the pid file, and `paths`.

    Nothing else that is in `run`: whoever takes a directory with a `run` of its own for a home loses nothing.
    """
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        for entry in (home / "run").iterdir():
            if entry.is_symlink():
                continue
            if entry.is_dir():
                if entry.name in _DIRECTORIES:
                    shutil.rmtree(entry, ignore_errors=True)
            elif entry.is_socket() or entry.name in _FILES:
                entry.unlink(missing_ok=True)
    (home / "supervisor.pid").unlink(missing_ok=True)


def main() -> None:
    """Wait for the supervisor's end, then clear up."""
    # Whoever stops "everything" must not stop this one first: it goes by itself.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    register = Register()
    for line in sys.stdin:
        register.read(line)
    end(register.groups)
    clear(pathlib.Path(sys.argv[1]), register.paths)


if __name__ == "__main__":
    main()
