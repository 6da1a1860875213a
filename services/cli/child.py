"""A process that was started, with the group that it leads."""

import asyncio
import contextlib
import os
import signal
import subprocess


class Child:
    """The number of its group is its pid. `exited` holds its exit code, negative for a signal, once it was reaped."""

    def __init__(self, process: "subprocess.Popen[bytes]", *, stop_signal: int = signal.SIGTERM) -> None:
        self.pid = process.pid
        self.stop_signal = stop_signal
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._process = process

    def stop(self) -> None:
        """Ask the process to end. Its group is not asked: the process knows how to end what it has started."""
        if not self.exited.done():
            os.kill(self.pid, self.stop_signal)

    def kill(self) -> None:
        """Kill the whole group."""
        # Until it was reaped, nobody else can have the number; afterwards there is nothing to kill.
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def reaped(self, code: int) -> None:
        """Its exit code is known."""
        self._process.returncode = code
        if not self.exited.done():
            self.exited.set_result(code)
