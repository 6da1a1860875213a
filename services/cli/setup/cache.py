"""Where everything that is built once and shared between clones lies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

COMPLETE = ".complete"


def cache_root() -> Path:
    """$HYBRID_CACHE, else hybridinference/ in the user's cache directory."""
    chosen = os.environ.get("HYBRID_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    user = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore a relative path.
    return (Path(user) if Path(user).is_absolute() else Path.home() / ".cache") / "hybridinference"


def is_complete(directory: Path) -> bool:
    return (directory / COMPLETE).is_file()


def mark_complete(directory: Path, note: str) -> None:
    (directory / COMPLETE).write_text(note + "\n")


@contextmanager
def exclusive(directory: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Be the only process that builds `directory`; calls `waiting` once if another one is at it."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with (directory.parent / f".{directory.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Closing the file releases the lock, also when the process is killed.
        yield
