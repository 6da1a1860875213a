"""Whose turn it is, where several measurements share a machine."""

import contextlib
import fcntl
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def turn(path: pathlib.Path | None) -> Iterator[None]:
    """Hold the file's lock; without a file it is always our turn."""
    if path is None:
        yield
        return
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
