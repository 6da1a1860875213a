"""A whole mesh, run by the `hybrid` command as a user would."""

import asyncio
import contextlib
import functools
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import psutil
import pytest

from tests.mesh import secured

ROOT = pathlib.Path(__file__).parents[2]
# `HYBRID_TEST_MTLS=1 pytest tests/mesh` plays all of it with certificates between the processes.
MTLS = os.environ.get("HYBRID_TEST_MTLS") == "1"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_base() -> int:
    """A `metrics.port` from which on nobody listens where a small mesh would, and where no client's end comes to be."""
    offsets = (0, 1, *(role + index for role in (100, 200, 300, 400) for index in range(4)))
    while True:
        base = random.randrange(15_000, 31_000)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for offset in offsets:
                stack.enter_context(socket.socket()).bind(("127.0.0.1", base + offset))
            return base


class Mesh:
    """A mesh with a home and a port of its own.

    Attributes:
        within: the beginning of a command line that runs `hybrid` elsewhere, such as in a network namespace.
    """

    within: tuple[str, ...] = ()

    def __init__(self, home: pathlib.Path, config: str, *, mtls: bool = MTLS) -> None:
        """With `mtls` its processes listen on ports, and prove themselves to each other by certificates."""
        self.home = home
        self._ports = secured.Ports() if mtls else None
        self.port = free_port()
        self.config = home / "hybrid.yaml"
        self.configure(config)

    def configure(self, config: str) -> None:
        """Write the configuration; a mesh that runs takes it up with `hybrid reload`."""
        if "access" not in config:  # most tests are about other things
            config = f"access: {{keyless: true}}\n{config}"
        if self._ports is not None:
            config = secured.secured(config, self._ports)
        self.config.write_text(config, encoding="utf-8")
        if self._ports is not None and not (self.home / "tls").exists():
            secured.issue(self.home, self.config)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def gateway(self) -> str:
        """The gateway's own socket, past the edge."""
        return f"unix:{self.socket('gateway')}"

    def socket(self, name: str) -> pathlib.Path:
        """A process's own socket, `worker-` before the name of a worker. With certificates there is none."""
        if self._ports is not None:
            pytest.skip("processes with certificates let in nobody else")
        return self.home / f"run/{name}.sock"

    @functools.cached_property
    def client(self) -> openai.OpenAI:
        """The official SDK, which does not try again by itself here. Closed with the mesh."""
        return openai.OpenAI(base_url=self.base_url, api_key="none", max_retries=0)

    def async_client(self) -> openai.AsyncOpenAI:
        """The same for coroutines; use it as a context manager."""
        return openai.AsyncOpenAI(base_url=self.base_url, api_key="none", max_retries=0)

    def hybrid(self, *arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.within, sys.executable, "-m", "services.cli", *arguments, "--home", str(self.home)],
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/gen"},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def up(self, *, timeout: float = 120.0) -> None:
        done = self.hybrid("up", "--detach", "--port", str(self.port), timeout=timeout)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    def down(self) -> None:
        done = self.hybrid("down", timeout=120)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    def status(self) -> dict[str, Any]:
        """What `hybrid status` says once a router tells it of workers."""
        status: dict[str, Any] = {}

        def told() -> bool:
            status.update(json.loads(self.hybrid("status", "--json").stdout))
            return status["workers"] is not None or not status["running"]

        wait_until(told, seconds=30)
        return status

    def requests(self) -> list[dict[str, Any]]:
        """The last rows of the ledger, newest first."""
        rows: list[dict[str, Any]] = json.loads(self.hybrid("requests", "--json").stdout)
        return rows

    def row_of(self, generation_id: str) -> dict[str, Any]:
        """The ledger's row of a generation, once the loader has brought it there."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = [row for row in self.requests() if row["generation_id"] == generation_id]
            return bool(found)

        wait_until(there, seconds=30)
        return found[0]

    def pid(self, process: str) -> int:
        """The process id of one of the mesh's processes."""
        state = json.loads((self.home / "run/supervisor.json").read_text(encoding="utf-8"))
        return int(next(one["pid"] for one in state["processes"] if one["name"] == process))

    def kill(self, process: str) -> None:
        os.kill(self.pid(process), signal.SIGKILL)

    def terminate(self, process: str) -> None:
        """Have one process stop by itself."""
        os.kill(self.pid(process), signal.SIGTERM)

    def processes(self) -> list[psutil.Process]:
        """Every process that belongs to this mesh: its working directory or its command line names the home."""
        return [process for process in psutil.process_iter() if self._owns(process)]

    def _owns(self, process: psutil.Process) -> bool:
        home = str(self.home)
        with contextlib.suppress(psutil.Error):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                return False
            return process.cwd().startswith(home) or any(home in word for word in process.cmdline())
        return False

    def files(self) -> list[pathlib.Path]:
        """Every file below the home, but for the configuration and copies of it, which nobody else reads."""
        copies = self.home / "run/last-good"
        found = [file for file in self.home.rglob("*") if file.is_file()]
        for file in found:
            assert copies not in file.parents or file.stat().st_mode & 0o777 == 0o600, file
        return [file for file in found if file != self.config and copies not in file.parents]

    def listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextlib.contextmanager
def mesh(config: str, *, up: bool = True, timeout: float = 120.0, mtls: bool = MTLS) -> Iterator[Mesh]:
    """A mesh, up, that is gone afterwards."""
    # Short, since unix sockets live below it.
    home = pathlib.Path(tempfile.mkdtemp(prefix="hi-"))
    running = Mesh(home, config, mtls=mtls)
    try:
        if up:
            running.up(timeout=timeout)
        yield running
    finally:
        running.client.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.hybrid("down", timeout=60)
        for process in running.processes():
            process.kill()
        shutil.rmtree(home, ignore_errors=True)


def wait_until(condition: Callable[[], bool], *, seconds: float) -> float:
    """Wait for something that other processes do; return how long it took, in seconds."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, f"not within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - begun


async def until(condition: Callable[[], Any], *, seconds: float) -> float:
    """As `wait_until`, for a condition that may be awaited."""
    begun = time.monotonic()
    while True:
        result = condition()
        if await result if asyncio.iscoroutine(result) else result:
            return time.monotonic() - begun
        assert time.monotonic() - begun < seconds, f"not within {seconds} s"
        await asyncio.sleep(0.02)
