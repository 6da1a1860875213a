"""Addresses of unix sockets: claimed before they are bound, given back at the end."""

import contextlib
import errno
import pathlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def claimed(address: str) -> Iterator[None]:
    """Make way for a socket on `unix:PATH` and remove it at the end; any other address needs nothing.

    Binding alone would take the path from a process that still serves there, without either of them noticing.

    Raises:
        OSError: another process serves on the path.
    """
    if not address.startswith("unix:"):
        yield
        return
    path = pathlib.Path(address.removeprefix("unix:"))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if _is_served(path):
        raise OSError(errno.EADDRINUSE, "another process serves on this address", address)
    path.unlink(missing_ok=True)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _is_served(path: pathlib.Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except TimeoutError:  # alive, but too busy to answer
            return True
        return True
