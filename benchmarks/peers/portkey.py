"""Portkey's gateway, which is told by each request's headers where to ask."""

import contextlib
import pathlib
from collections.abc import Iterator

from benchmarks.peers.process import serving
from benchmarks.system import System, free_port

PACKAGE = "@portkey-ai/gateway"
_SERVER = pathlib.Path(__file__).parent / "portkey" / "node_modules" / PACKAGE / "build" / "start-server.js"


def headers(upstream_port: int) -> dict[str, str]:
    """What a request says of its provider."""
    return {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{upstream_port}/v1"}


def command(port: int) -> list[str]:
    """How it is started: without its page of logs."""
    return ["node", str(_SERVER), "--headless", f"--port={port}"]


@contextlib.contextmanager
def portkey(upstream_port: int, *, model: str = "bench") -> Iterator[System]:
    """The gateway. It listens on all addresses of this host, which cannot be set."""
    port = free_port()
    with serving(command(port), health=f"http://127.0.0.1:{port}/", env={"NODE_ENV": "production"}) as pid:
        yield System("portkey", port, {"gateway": [pid]}, model=model, headers=headers(upstream_port))
