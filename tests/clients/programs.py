"""A program that is gone afterwards, with all that it has started."""

import contextlib
import os
import pathlib
import signal
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any


@contextlib.contextmanager
def started(command: Sequence[str | pathlib.Path], **more: Any) -> Iterator["subprocess.Popen[Any]"]:
    """The program, running in a group of its own; `more` is for `subprocess.Popen`."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **more) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
