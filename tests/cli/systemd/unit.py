"""Processes as units start them, before a socket that stands for systemd's."""

import asyncio
import contextlib
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence

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
router: {stale_seconds: 60}
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


class Unit:
    """A process and what it tells the manager. Half of the watchdog's time is half a second."""

    def __init__(self, home: pathlib.Path, name: str, *command: str, launcher: Sequence[str] = ()) -> None:
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = f"hybrid-{os.getpid()}-{name}"
        self.listening.bind(f"\0{address}")
        self.listening.setblocking(False)
        with (home / f"{name}.log").open("wb") as log:
            self.process = subprocess.Popen(
                [*launcher, sys.executable, "-m", command[0], "--config", "hybrid.yaml", *command[1:]],
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
