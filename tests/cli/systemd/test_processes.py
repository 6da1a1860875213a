"""Processes as their units start them, before a socket that stands for systemd's."""

import asyncio
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.gateway.v1 import inference_service_pb2_grpc as inference_grpc
from hybridinference.inference.v1 import conversation_pb2 as conversation

from services.chassis.channel import open_channel

ROOT = pathlib.Path(__file__).parents[3]
SECONDS = 60.0
WORDS = [f"word-{number} " for number in range(12)]
CONFIG = """\
access: {keyless: true}
gateway: {drain_seconds: 60}
providers:
  echo: {kind: echo, loading_ms: 1500, token_ms: 200, drain_seconds: 60}
models:
  - {name: m, routes: [{provider: echo}]}
"""
PROCESSES = {
    "worker": ("services.workers", "--worker", "echo-0"),
    "router": ("services.router", "--router", "router"),
    "loader": ("services.gateway.loader", "--gateway", "gateway", "--dsn", "postgresql:///x?host=/nonexistent"),
    "gateway": ("services.gateway", "--gateway", "gateway"),
}
SERVING = {"worker": "worker-echo-0", "router": "router", "gateway": "gateway"}

pytestmark = pytest.mark.slow


class Unit:
    """A process and what it tells the manager. Half of the watchdog's time is half a second."""

    def __init__(self, home: pathlib.Path, name: str, *command: str) -> None:
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = f"hybrid-{os.getpid()}-{name}"
        self.listening.bind(f"\0{address}")
        self.listening.setblocking(False)
        with (home / f"{name}.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", command[0], "--config", "hybrid.yaml", *command[1:]],
                cwd=home,
                env={
                    **os.environ,
                    "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}",
                    "NOTIFY_SOCKET": f"@{address}",
                    "WATCHDOG_USEC": "1000000",
                },
                stdout=log,
                stderr=log,
            )

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.listening.close()

    async def until(self, wanted: str) -> list[str]:
        """All that is told up to the first datagram with that line, which comes last."""
        heard = []
        async with asyncio.timeout(SECONDS):
            while True:
                heard.append((await asyncio.get_running_loop().sock_recv(self.listening, 4096)).decode())
                if wanted in heard[-1].splitlines():
                    return heard

    def heard(self) -> list[str]:
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.listening.recv(4096).decode())
        return found

    async def ended(self) -> int:
        async with asyncio.timeout(SECONDS):
            return await asyncio.to_thread(self.process.wait)


@pytest.fixture
def home() -> Iterator[pathlib.Path]:
    with tempfile.TemporaryDirectory(prefix="hy") as path:  # sockets below it, whose paths must be short
        (pathlib.Path(path) / "hybrid.yaml").write_text(CONFIG)
        yield pathlib.Path(path)


@pytest.fixture
def units(home: pathlib.Path) -> Iterator[dict[str, Unit]]:
    found = {name: Unit(home, name, *command) for name, command in PROCESSES.items()}
    yield found
    for unit in found.values():
        unit.close()


async def health(home: pathlib.Path, name: str) -> int:
    async with open_channel(f"unix:{home}/run/{name}.sock") as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(  # type: ignore[misc]
            health_pb2.HealthCheckRequest(), timeout=SECONDS, wait_for_ready=True
        )
        return int(answer.status)


@contextlib.asynccontextmanager
async def answering(home: pathlib.Path) -> AsyncIterator[AsyncIterator[inference.StreamGenerateResponse]]:
    """A stream of some seconds, once its first word is there."""
    request = inference.StreamGenerateRequest()
    request.spec.model = "m"
    request.spec.messages.add(role=conversation.ROLE_USER).parts.add(text="".join(WORDS))
    async with open_channel(f"unix:{home}/run/gateway.sock") as channel:
        stream = inference_grpc.InferenceServiceStub(channel).StreamGenerate(request, timeout=SECONDS)
        async for response in stream:
            if response.event.WhichOneof("event") == "delta":
                break
        yield stream


async def test_units_are_ready_once_they_serve_live_take_up_and_end_when_their_work_has(
    units: dict[str, Unit], home: pathlib.Path
) -> None:
    for name, unit in units.items():
        before = await unit.until("READY=1")
        if name in SERVING:
            assert await health(home, SERVING[name]) == health_pb2.HealthCheckResponse.SERVING
        assert not any("STOPPING=1" in each for each in before)
    for unit in units.values():
        await unit.until("WATCHDOG=1")

    router = units["router"]
    router.process.send_signal(signal.SIGHUP)
    told = await router.until("RELOADING=1")
    assert told[-1].splitlines()[1].startswith("MONOTONIC_USEC=")
    await router.until("READY=1")

    # One that is stuck says nothing, and one that goes on does.
    router.process.send_signal(signal.SIGSTOP)
    os.waitpid(router.process.pid, os.WUNTRACED)  # noqa: ASYNC222  # it stops at once
    router.heard()
    await asyncio.sleep(1.5)
    assert router.heard() == []
    router.process.send_signal(signal.SIGCONT)
    await router.until("WATCHDOG=1")

    async with answering(home) as stream:
        for name in ("gateway", "worker"):
            units[name].process.send_signal(signal.SIGTERM)
            await units[name].until("STOPPING=1")
        rest = [response async for response in stream]
        assert rest[-1].event.WhichOneof("event") == "finished"
    for name in ("gateway", "worker"):
        assert await units[name].ended() == 0
    for name in ("router", "loader"):
        units[name].process.send_signal(signal.SIGTERM)
        await units[name].until("STOPPING=1")
        assert await units[name].ended() == 0
    for unit in units.values():
        assert not any("READY=1" in each for each in unit.heard()), "ready again after it has stopped"


@pytest.mark.parametrize("postgres", ["embedded-18"], indirect=True)
async def test_the_admin_process_is_ready_once_it_serves(home: pathlib.Path, dsn: str) -> None:
    unit = Unit(home, "admin", "services.gateway.admin", "--dsn", dsn)
    try:
        await unit.until("READY=1")
        assert await health(home, "admin") == health_pb2.HealthCheckResponse.SERVING
        await unit.until("WATCHDOG=1")
        unit.process.send_signal(signal.SIGTERM)
        await unit.until("STOPPING=1")
        assert await unit.ended() == 0
    finally:
        unit.close()


async def test_a_process_that_cannot_start_is_never_ready(home: pathlib.Path) -> None:
    (home / "hybrid.yaml").write_text(CONFIG.replace("kind: echo", "kind: ecco"))
    unit = Unit(home, "router", *PROCESSES["router"])
    assert await unit.ended() == 2, "which units do not try again"
    assert unit.heard() == []
    unit.close()
