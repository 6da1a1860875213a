"""The log of a process: appended to, and put aside when it has grown."""

import contextlib
import os
import pathlib
import shutil

_MOST_BYTES = 16 << 20
_TAIL_BYTES = 64 << 10


def rotate(path: pathlib.Path) -> None:
    """Put a log aside as `<name>.log.1` when it has grown too big."""
    if size(path) > _MOST_BYTES:
        path.replace(path.with_suffix(path.suffix + ".1"))


def cut(path: pathlib.Path) -> None:
    """The same for a log that is being written: its writer appends, and goes on at the beginning.

    A line that is written between the copy and the cut is lost. Without room for a copy the log grows on.
    """
    if size(path) > _MOST_BYTES:
        aside = path.with_suffix(path.suffix + ".1")
        aside.unlink(missing_ok=True)
        try:
            shutil.copy(path, aside)
        except OSError:
            aside.unlink(missing_ok=True)
            return
        os.truncate(path, 0)


def cut_all(directory: pathlib.Path) -> None:
    """The same for every log in a directory. One that cannot be cut now is tried again the next time."""
    for log in directory.glob("*.log"):
        with contextlib.suppress(OSError):
            cut(log)


def open_log(path: pathlib.Path) -> int:
    """A descriptor that appends to the log, once that was put aside if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rotate(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def size(path: pathlib.Path) -> int:
    """Bytes in the log."""
    return path.stat().st_size if path.exists() else 0


def tail(path: pathlib.Path, *, since: int = 0, lines: int = 15) -> list[str]:
    """The last lines, not counting what was there when the log had `since` bytes."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(max(since if since <= size(path) else 0, size(path) - _TAIL_BYTES))
        return file.read().decode(errors="replace").splitlines()[-lines:]
