"""A real Envoy, with the rendered configuration, in front of a stub gateway; one of each per module."""

import asyncio
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import openai
import prometheus_client
import pytest
import pytest_asyncio
from hybridinference.gateway.v1 import inference_service_pb2_grpc as inference_grpc
from hybridinference.gateway.v1 import openai_service_pb2_grpc as openai_grpc
from hybridinference.gateway.v1 import overview_service_pb2_grpc as overview_grpc

from services.chassis.server import open_server
from services.cli import admin, edge, readiness
from services.config.mesh import MeshConfig
from tests.edge.stub import NAMES, InferenceStub, OpenAIStub, OverviewStub, Script

CONFIG: dict[str, Any] = {
    "providers": {"echo": {"kind": "echo"}},
    "models": [{"name": "echo", "routes": [{"provider": "echo"}]}],
}


@dataclasses.dataclass
class Edge:
    """An Envoy that runs, and how to reach it."""

    home: pathlib.Path
    port: int
    process: subprocess.Popen[bytes]
    config: MeshConfig

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def stat(self, name: str) -> int:
        """One of Envoy's own counters."""
        lines = (await self._ask(f"/stats?filter=^{name}$")).splitlines()
        return int(lines[0].rpartition(": ")[2])

    async def stats(self) -> list[str]:
        """Names of all of Envoy's own statistics that there are."""
        return [line.partition(": ")[0] for line in (await self._ask("/stats")).splitlines()]

    async def prometheus(self) -> str:
        """All of them, as Prometheus reads them."""
        return await self._ask("/stats/prometheus")

    async def memory(self) -> int:
        """Bytes that Envoy has allocated. What the process holds says nothing: freed memory stays with it."""
        return int(json.loads(await self._ask("/memory"))["allocated"])

    async def _ask(self, path: str) -> str:
        transport = httpx2.AsyncHTTPTransport(uds=str(self.home / "run/envoy-admin.sock"))
        async with httpx2.AsyncClient(transport=transport, base_url="http://envoy") as admin:
            return (await admin.get(path)).text

    async def logged(self, text: str) -> str:
        """The access log, once it holds `text`: Envoy writes when its buffer's timer says so."""
        async with asyncio.timeout(30):
            while True:
                log = (self.home / "logs/envoy-access.log").read_text()
                if text in log:
                    return log
                await asyncio.sleep(0.02)

    async def becomes(self, healthy: bool) -> None:
        """Wait until the edge sees the gateway come or go."""
        expected = 200 if healthy else 503
        async with asyncio.timeout(30), httpx2.AsyncClient(base_url=self.url) as client:
            while True:
                with contextlib.suppress(httpx2.TransportError):
                    if (await client.get("/healthz")).status_code == expected:
                        return
                await asyncio.sleep(0.02)  # what is waited for happens in another process


class Gateway:
    """The stub, which can be taken down and put up again."""

    def __init__(self, address: str) -> None:
        self.script = Script()
        self._address = address
        self._stack = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Serve, and take work."""

        def add(server: object) -> None:
            openai_grpc.add_OpenAIServiceServicer_to_server(OpenAIStub(self.script), server)
            inference_grpc.add_InferenceServiceServicer_to_server(InferenceStub(self.script), server)
            overview_grpc.add_OverviewServiceServicer_to_server(OverviewStub(), server)

        registry = prometheus_client.CollectorRegistry()
        self.server = await self._stack.enter_async_context(open_server(self._address, add, NAMES, registry))
        await self.server.mark_serving()

    async def stop(self) -> None:
        """Go away, cancelling what runs."""
        await self._stack.aclose()


@contextlib.contextmanager
def running_edge(home: pathlib.Path | None = None, **sections: Any) -> Iterator[Edge]:
    """Envoy on a free port, configured so, in a home with a path short enough for sockets."""
    home = home or pathlib.Path(tempfile.mkdtemp(prefix="edge", dir="/tmp"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = MeshConfig.model_validate({**CONFIG, **sections})
    path = edge.render(config, home=home, port=port)
    with (home / "logs/envoy.log").open("wb") as log:
        process = subprocess.Popen(edge.command(edge.live(path)), cwd=home, stdout=log, stderr=log)
    try:
        yield Edge(home, port, process, config)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        shutil.rmtree(home)


@contextlib.asynccontextmanager
async def serving(running: Edge) -> AsyncIterator[tuple[Edge, Gateway]]:
    """That edge, and a gateway behind it, both ready."""
    gateway = Gateway(f"unix:{running.home}/run/gateway.sock")
    await gateway.start()
    try:
        async with asyncio.timeout(30):
            await readiness.edge_open(running.home / admin.SOCKET)
        yield running, gateway
    finally:
        await gateway.stop()


@pytest.fixture(scope="module")
def sections() -> dict[str, Any]:
    """Sections of the configuration; a module has its own by a fixture of this name."""
    return {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(sections: dict[str, Any]) -> AsyncIterator[tuple[Edge, Gateway]]:
    """Edge and gateway, both ready."""
    with running_edge(**sections) as running:
        async with serving(running) as both:
            yield both


@pytest.fixture
def envoy(mesh: tuple[Edge, Gateway]) -> Edge:
    """The edge."""
    return mesh[0]


@pytest.fixture(autouse=True)
def gateway(mesh: tuple[Edge, Gateway]) -> Gateway:
    """The gateway behind it, with a fresh script."""
    gateway = mesh[1]
    gateway.script.clear()
    return gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(mesh: tuple[Edge, Gateway]) -> AsyncIterator[httpx2.AsyncClient]:
    """A plain HTTP client."""
    async with httpx2.AsyncClient(base_url=mesh[0].url, timeout=10) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sdk(mesh: tuple[Edge, Gateway]) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official SDK, as it comes but for its retries."""
    async with openai.AsyncOpenAI(base_url=f"{mesh[0].url}/v1", api_key="sk", max_retries=0, timeout=10) as client:
        yield client
