"""SMG, the Shepherd Model Gateway: its cheapest rule, and warnings as its only log."""

import contextlib
from collections.abc import Iterator

from benchmarks.peers.peer import program
from benchmarks.peers.process import serving
from benchmarks.system import System, free_port


def command(port: int, metrics_port: int, upstream: str) -> list[str]:
    """How it is started; `upstream` is an address with its scheme, `http` or `grpc`."""
    return [
        *(program("smg", "smg"), "launch", "--host", "127.0.0.1", "--port", str(port), "--worker-urls", upstream),
        *("--policy", "round_robin", "--log-level", "warn", "--prometheus-port", str(metrics_port)),
        *("--worker-startup-check-interval", "1"),
    ]


@contextlib.contextmanager
def smg(upstream_port: int, *, model: str = "bench", scheme: str = "http") -> Iterator[System]:
    """The gateway, which is ready when its worker is registered, and knows the models that it names."""
    port = free_port()
    upstream = f"{scheme}://127.0.0.1:{upstream_port}"
    with serving(command(port, free_port(), upstream), health=f"http://127.0.0.1:{port}/readiness") as pid:
        yield System("smg", port, {"gateway": [pid]}, model=model)
