"""All child processes: each leads its own group, is known to the watchdog, and is reaped with all that it leaves."""

import asyncio
import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence

from services.cli import logfile, watchdog
from services.cli.child import Child
from services.cli.home import Home

# The child registers itself with the watchdog before it becomes the program: its standard input is the watchdog's pipe
# until then. So there is no moment at which the supervisor can die and leave a process that nobody knows of.
_ENTER = 'echo "add $$ $0" >&0 && exec "$@" </dev/null'
_PR_SET_CHILD_SUBREAPER = 36
# Sockets, logs, records: what a mesh makes is its user's alone.
_UMASK = 0o077
_CLOSE_SECONDS = 30.0
_PAUSE_SECONDS = 0.01


class Children:
    """All children of this process. Use `open_children`."""

    def __init__(self, home: Home, lock: int) -> None:
        self._home = home
        self._lock = lock
        # The read end stays open here too: a new watchdog needs it, and writes do not fail while there is none.
        self._read, self._write = os.pipe()
        self._children: dict[int, Child] = {}
        self._paths: list[pathlib.Path] = []
        self._others = _pids_of_children()
        self._closing = False
        self._watchdog = self._start_watchdog()

    def spawn(
        self,
        command: Sequence[str],
        *,
        log: pathlib.Path,
        environment: Mapping[str, str],
        stop_signal: int = signal.SIGTERM,
    ) -> Child:
        """Start a program in the home directory, with its output appended to `log`.

        Must be called from the main thread: some programs ask the kernel to end them with the thread that started them.

        Raises:
            OSError: it cannot be started.
        """
        output = logfile.open_log(log)
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _ENTER, str(int(stop_signal)), *command],
                stdin=self._write,
                stdout=output,
                stderr=output,
                cwd=self._home.path,
                env=dict(environment),
                umask=_UMASK,
                start_new_session=True,
            )
        finally:
            os.close(output)
        child = Child(process, stop_signal=stop_signal)
        self._children[child.pid] = child
        return child

    def remove_at_end(self, path: pathlib.Path) -> None:
        """A file or a directory that must not outlive the mesh."""
        self._paths.append(path)
        self._tell(f"path {path}")

    def kill(self) -> None:
        """Kill every child with its group, and every stray process that came to us when its parent died."""
        for child in self._children.values():
            child.kill()
        for pid in self._strays():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def close(self) -> None:
        """Kill what is left, and let the watchdog clear up."""
        self._closing = True
        async with asyncio.timeout(_CLOSE_SECONDS):
            self.kill()
            for child in list(self._children.values()):
                await child.exited
            # What those have left behind has come to us by now, and nobody tells when it is gone.
            while self._strays():
                self.kill()
                await asyncio.sleep(_PAUSE_SECONDS)
            os.close(self._write)
            await self._watchdog.exited
        os.close(self._read)

    def reap(self) -> None:
        """Take note of every child that has ended, and kill the rest of its group."""
        with contextlib.suppress(ChildProcessError):
            while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                child = self._children.get(found.si_pid)
                if child is not None:
                    # Before it is reaped: as long as it is a zombie nobody else can get the number of its group.
                    child.kill()
                    self._tell(f"remove {child.pid}")
                _, status = os.waitpid(found.si_pid, 0)
                self._ended(found.si_pid, os.waitstatus_to_exitcode(status))

    def _strays(self) -> set[int]:
        return _pids_of_children() - {*self._children, *self._others, self._watchdog.pid}

    def _ended(self, pid: int, code: int) -> None:
        child = self._children.pop(pid, None)
        if child is not None:
            child.reaped(code)
        elif pid == self._watchdog.pid:
            self._watchdog.reaped(code)
            if not self._closing:
                self._watchdog = self._start_watchdog()

    def _start_watchdog(self) -> Child:
        # Before it is there: should this process die right after, it finds them in the pipe.
        for child in self._children.values():
            self._tell(f"add {child.pid} {int(child.stop_signal)}")
        for path in self._paths:
            self._tell(f"path {path}")
        output = logfile.open_log(self._home.log("watchdog"))
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", watchdog.__file__, str(self._home.path)],
                stdin=self._read,
                stdout=output,
                stderr=output,
                pass_fds=(self._lock,),
                start_new_session=True,
            )
        finally:
            os.close(output)
        return Child(process)

    def _tell(self, line: str) -> None:
        os.write(self._write, f"{line}\n".encode())


@contextlib.asynccontextmanager
async def open_children(home: Home, lock: int) -> AsyncIterator[Children]:
    """Children that outlive neither the context nor this process, however it ends. `lock` is held until then."""
    loop = asyncio.get_running_loop()
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    children = Children(home, lock)
    loop.add_signal_handler(signal.SIGCHLD, children.reap)
    try:
        yield children
    finally:
        try:
            await children.close()
        finally:
            loop.remove_signal_handler(signal.SIGCHLD)
            prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _pids_of_children() -> set[int]:
    found: set[int] = set()
    for file in pathlib.Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found.update(int(pid) for pid in file.read_text(encoding="ascii").split())
    return found
