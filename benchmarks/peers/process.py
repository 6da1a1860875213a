"""A server by others as a process: started, asked whether it is well, and ended with all its children."""

import contextlib
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence

# LiteLLM takes a quarter of a minute of CPU to be loaded, and as much again for the first time.
_UP_SECONDS = 300.0
_POLL_SECONDS = 0.1
_ASK_SECONDS = 2.0
_STOP_SECONDS = 10.0
_TAIL_BYTES = 3000
# What would send a loopback request elsewhere, or make a Python import our modules.
_UNWANTED = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "PYTHONPATH")


class PeerError(RuntimeError):
    """A peer that did not come up, with the end of what it said."""


@contextlib.contextmanager
def serving(command: Sequence[str], *, health: str, env: Mapping[str, str] | None = None) -> Iterator[int]:
    """Run a server until the context ends; gives its process id once `health`, an address, answers 200.

    Raises:
        PeerError: it ends before that, or takes longer than five minutes.
    """
    with tempfile.TemporaryDirectory(prefix="peer-") as folder:
        log = pathlib.Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**{name: value for name, value in os.environ.items() if name not in _UNWANTED}, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group of its own, to be ended as a whole
            )
        try:
            _wait(process, health, log)
            yield process.pid
        finally:
            _end(process)


def _wait(process: "subprocess.Popen[bytes]", health: str, log: pathlib.Path) -> None:
    given_up = time.monotonic() + _UP_SECONDS
    while not _well(health):
        if process.poll() is not None:
            raise PeerError(f"{process.args!r} ended with {process.returncode}:\n{_tail(log)}")
        if time.monotonic() > given_up:
            raise PeerError(f"{process.args!r} was not well after {_UP_SECONDS:g} s:\n{_tail(log)}")
        time.sleep(_POLL_SECONDS)


def direct() -> urllib.request.OpenerDirector:
    """Asks without a proxy, whatever the environment says."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _well(health: str) -> bool:
    try:
        with direct().open(health, timeout=_ASK_SECONDS) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _tail(log: pathlib.Path) -> str:
    return log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask the whole group to end, and end what is left of it."""
    _signal(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _signal(group: int, what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, what)
