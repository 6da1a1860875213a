"""What is measured: something that serves chat completions on a port, made of named processes."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.child import ROOT, child

_UP_SECONDS = 300.0  # of 64 workers on two busy cores, too

_CONFIG = """
gateway: {{drain_seconds: 1, instances: {gateways}}}
router: {{instances: {routers}}}
access: {{keyless: true}}
providers:
  echo: {{kind: echo, workers: {workers}, token_ms: {token_ms}, drain_seconds: 1}}
models:
  - name: echo
    routes: [{{provider: echo}}]
"""

# What a stream may take is more than any measurement does; all else is as it comes, the limit that adapts too.
_REMOTE = """
gateway: {{drain_seconds: 1}}
access: {{keyless: true}}
providers:
  upstream:
    kind: openai
    base_url: http://127.0.0.1:{upstream_port}/v1
    api_keys: [none]
    models: [bench]
    workers: {workers}
    total_seconds: 3600
    drain_seconds: 1
models:
  - name: bench
    routes: [{{provider: upstream}}]
"""


@dataclasses.dataclass(frozen=True, slots=True)
class System:
    """A running system.

    Attributes:
        port: on the loopback interface, where `POST /v1/chat/completions` is answered.
        processes: process ids by role; a child that has no role of its own counts with its parent.
        home: where a mesh keeps its sockets.
        model: what requests ask for.
        key: a bearer token to send, unless empty.
        headers: what else every request has to carry.
    """

    name: str
    port: int
    processes: Mapping[str, Sequence[int]]
    home: pathlib.Path | None = None
    model: str = "echo"
    key: str = ""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def temporary_home() -> Iterator[pathlib.Path]:
    """A short directory, since unix sockets live below it."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="hb-"))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def mesh(*, workers: int, token_ms: float, gateways: int = 1, routers: int = 1) -> Iterator[System]:
    """A whole mesh with echo workers, run by the `hybrid` command."""
    shape = {"workers": workers, "gateways": gateways, "routers": routers}
    with configured(_CONFIG.format(token_ms=token_ms, **shape), model="echo") as system:
        yield system


@contextlib.contextmanager
def mesh_remote(upstream_port: int, *, workers: int = 1) -> Iterator[System]:
    """A whole mesh whose `openai` workers ask a server on this host."""
    with configured(_REMOTE.format(upstream_port=upstream_port, workers=workers), model="bench") as system:
        yield system


@contextlib.contextmanager
def configured(config: str, *, model: str) -> Iterator[System]:
    """A whole mesh of that configuration. Workers of `echo`, `upstream` and `engine` have the role `worker`."""
    with temporary_home() as home:
        port = free_port()
        (home / "hybrid.yaml").write_text(config, encoding="utf-8")
        try:
            _hybrid(home, "up", "--detach", "--port", str(port))
            yield System("mesh", port, _processes(home), home, model)
        finally:
            _hybrid(home, "down")


@contextlib.contextmanager
def source(*, token_ms: float) -> Iterator[System]:
    """A plain server that paces bytes to its connections: what the client and the machine do without a mesh."""
    port = free_port()
    with child("benchmarks.source", "--port", str(port), "--token-ms", str(token_ms)) as process:
        yield System("source", port, {"source": [process.pid]})


def _hybrid(home: pathlib.Path, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments, "--home", str(home)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/gen"},
        capture_output=True,
        text=True,
        timeout=_UP_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"hybrid {arguments[0]}: {done.stdout}\n{done.stderr}")


def _processes(home: pathlib.Path) -> dict[str, list[int]]:
    state = json.loads((home / "run/supervisor.json").read_text(encoding="utf-8"))
    roles: dict[str, list[int]] = {"supervisor": [state["pid"]]}
    for process in state["processes"]:
        if process["state"] == "ready" and process["pid"]:
            role = re.sub(r"-\d+$", "", process["name"])  # the second gateway is gateway-2
            role = "worker" if role in ("echo", "upstream", "engine") else role
            roles.setdefault(role, []).append(process["pid"])
    return roles
