"""Where everything that is built once and shared between clones lies."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from services.cli.setup.failure import SetupError

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
    if not (directory / COMPLETE).is_file():
        return False
    require_trusted(directory)
    return True


def require_trusted(directory: Path) -> None:
    """Refuse what others could have put there, since it is run. `directory` is two levels below the cache's root."""
    trusted = (0, os.geteuid(), Path(__file__).stat().st_uid)  # the clone's owner, too: that is whose code this is
    for place in (directory, *list(directory.parents)[:2]):
        try:
            found = place.stat()
        except FileNotFoundError:
            continue
        if found.st_uid not in trusted:
            raise SetupError(f"{place} belongs to another user", "set HYBRID_CACHE to a directory you own")
        # Where the sticky bit is set, as in /tmp, others cannot replace what is not theirs.
        if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            raise SetupError(f"everybody can write to {place}", f"chmod o-w {place}")


def mark_complete(directory: Path, note: str) -> None:
    (directory / COMPLETE).write_text(note + "\n")


@contextmanager
def exclusive(directory: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Be the only process that builds `directory`; calls `waiting` once if another one is at it."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    require_trusted(directory)
    with (directory.parent / f".{directory.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Closing the file releases the lock, also when the process is killed.
        yield
