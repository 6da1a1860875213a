"""The router of the vLLM project: its cheapest rule, and warnings as its only log."""

import contextlib
from collections.abc import Iterator

from benchmarks.peers.peer import program
from benchmarks.peers.process import serving
from benchmarks.system import System, free_port


def command(port: int, metrics_port: int, upstream_port: int) -> list[str]:
    """How it is started."""
    return [
        program("vllm-router", "vllm-router"),
        *("--host", "127.0.0.1", "--port", str(port), "--worker-urls", f"http://127.0.0.1:{upstream_port}"),
        *("--policy", "round_robin", "--log-level", "warning", "--prometheus-port", str(metrics_port)),
        *("--worker-startup-check-interval", "1"),
    ]


@contextlib.contextmanager
def vllm_router(upstream_port: int, *, model: str = "bench") -> Iterator[System]:
    """The router, which is well when its worker is. It takes any model's name."""
    port = free_port()
    with serving(command(port, free_port(), upstream_port), health=f"http://127.0.0.1:{port}/readiness") as pid:
        yield System("vllm-router", port, {"router": [pid]}, model=model)
