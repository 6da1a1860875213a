"""The skeleton, running: worker, gateway, Envoy."""

import contextlib
import http.client
import pathlib
import string
import subprocess
import time
from collections.abc import Iterator
from typing import Literal

from benchmarks.child import child, ended
from benchmarks.system import System, free_port, temporary_home
from services.chassis import scheduling
from services.cli import edge
from services.config.mesh import MeshConfig

_READY_SECONDS = 20.0


@contextlib.contextmanager
def skeleton(*, token_ms: float, envoy: Literal["bare", "mesh"] = "bare") -> Iterator[System]:
    """A running skeleton, behind an Envoy with the least configuration or with the mesh's own."""
    with temporary_home() as home, contextlib.ExitStack() as stack:
        (home / "run").mkdir()
        scheduling.be_patient(True)  # as the mesh, and what it starts
        stack.callback(scheduling.be_patient, False)
        worker = stack.enter_context(
            child(
                "benchmarks.skeleton.worker",
                *("--listen", "unix:run/worker.sock", "--token-ms", str(token_ms)),
                cwd=home,
            )
        )
        gateway = stack.enter_context(
            child(
                "benchmarks.skeleton.gateway",
                *("--listen", "unix:run/gateway.sock", "--worker", "unix:run/worker.sock"),
                cwd=home,
            )
        )
        port = free_port()
        config = _bare(home, port) if envoy == "bare" else edge.render(_mesh(), home=home, port=port)
        process = subprocess.Popen(edge.command(config, drain_seconds=1), cwd=home, stderr=subprocess.DEVNULL)
        stack.enter_context(ended(process, ask=True))
        scheduling.be_patient(False)
        _wait(port)
        name = "skeleton" if envoy == "bare" else "skeleton, mesh's edge"
        yield System(name, port, {"worker": [worker.pid], "gateway": [gateway.pid], "envoy": [process.pid]})


def _bare(home: pathlib.Path, port: int) -> pathlib.Path:
    directory = home / "run" / "envoy"
    directory.mkdir()
    (directory / "mesh.pb").write_bytes(edge.descriptor_set())
    template = (pathlib.Path(__file__).parent / "envoy.yaml").read_text(encoding="utf-8")
    path = directory / "edge.yaml"
    path.write_text(string.Template(template).substitute(port=port, descriptors="run/envoy/mesh.pb"), encoding="utf-8")
    return path


def _mesh() -> MeshConfig:
    return MeshConfig.model_validate(
        {"providers": {"echo": {"kind": "echo"}}, "models": [{"name": "echo", "routes": [{"provider": "echo"}]}]}
    )


def _wait(port: int) -> None:
    """Wait until a completion comes back."""
    asked = b'{"model":"echo","messages":[],"stream":false,"echo":{"tokens":1}}'
    until = time.monotonic() + _READY_SECONDS
    while time.monotonic() < until:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("POST", "/v1/chat/completions", asked, {"content-type": "application/json"})
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        time.sleep(0.05)
    raise RuntimeError("the skeleton does not answer")
