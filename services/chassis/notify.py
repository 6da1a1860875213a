"""What systemd hears of a process: that it serves, lives, takes up a configuration, ends. Elsewhere nobody hears it.

The protocol is that of sd_notify(3): datagrams of `NAME=value` lines to the unix socket that NOTIFY_SOCKET names.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping

import structlog

LOG = structlog.get_logger()

# A manager that is too busy to empty its socket must not stop us for longer.
_SEND_SECONDS = 1.0
# sd_watchdog_enabled(3) recommends half of the time after which silence counts as death.
_PINGS = 2


class Notifier:
    """Tells the manager. Without an address it tells nobody.

    Args:
        address: a path, or the name of an abstract socket after `@`.
        watchdog_seconds: after so much silence the manager ends the process; 0 is never.
    """

    def __init__(self, address: str = "", *, watchdog_seconds: float = 0.0) -> None:
        self.watchdog_seconds = watchdog_seconds if address else 0.0
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._serving = False

    def ready(self) -> None:
        """It serves: what waits for it may begin."""
        self._serving = True
        self._tell("READY=1", "STATUS=serving")

    def loading(self, progress: float) -> None:
        """How far it has come on the way there, from 0 to 1; for people."""
        self._tell(f"STATUS=loading, {progress:.0%}")

    def stopping(self) -> None:
        """It takes no more work, and ends when what is under way has."""
        self._serving = False
        self._tell("STOPPING=1", "STATUS=draining")

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """While this lasts it takes up a configuration, or refuses it. Told of a process that serves, and of no other.

        The end of a reload is told as readiness is: one that still starts, or stops already, must not say so.
        """
        if self._serving:
            self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        try:
            yield
        finally:
            if self._serving:
                self.ready()

    async def live(self, alive: Callable[[], bool]) -> None:
        """Say again and again that it lives, for as long as this event loop runs and `alive` says so too."""
        while self.watchdog_seconds and alive():
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_seconds / _PINGS)

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
                sending.settimeout(_SEND_SECONDS)
                sending.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            LOG.warning("notify.failed", message=lines[0], error=str(error))


def taken_from(environment: MutableMapping[str, str], pid: int) -> Notifier:
    """The notifier for the process `pid`; takes its variables out, so that no child speaks in its place."""
    address = environment.pop("NOTIFY_SOCKET", "")
    usec, whose = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
    watched = usec.isdigit() and whose in ("", str(pid))
    return Notifier(address, watchdog_seconds=int(usec) / 1e6 if watched else 0.0)


def _always() -> bool:
    return True


@contextlib.asynccontextmanager
async def open_notifier(alive: Callable[[], bool] = _always) -> AsyncIterator[Notifier]:
    """The notifier of this process, which says that it lives until the context ends.

    Args:
        alive: whether what the process needs beside its event loop still runs. Once it does not, nothing is said any
            more: the manager ends the process and starts another.
    """
    notifier = taken_from(os.environ, os.getpid())
    # No group of tasks: what ends the process shall be told as it is.
    living = asyncio.create_task(notifier.live(alive))
    try:
        yield notifier
    finally:
        living.cancel()
        await asyncio.wait([living])
