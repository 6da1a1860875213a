"""One change of a running mesh at a time: a second reload or restart waits until the first is done."""

import contextlib
import fcntl
import os
from collections.abc import Iterator

from services.cli.home import Home
from services.cli.problem import Problem


@contextlib.contextmanager
def turn(home: Home) -> Iterator[None]:
    """Wait for one's turn, and have it until the end.

    Raises:
        Problem: the mesh has no edge yet, or no more.
    """
    try:
        descriptor = os.open(home.run / "envoy", os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise Problem("the edge is not there yet; `hybrid status` says what is missing") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
