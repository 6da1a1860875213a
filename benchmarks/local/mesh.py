"""The whole mesh in front of its own vLLM worker."""

import contextlib
import json
from collections.abc import Iterator

from benchmarks.local.servers import roles
from benchmarks.local.settings import MODEL, Settings
from benchmarks.system import System, configured

_PROVIDER = "engine"  # benchmarks.system gives its workers their role


@contextlib.contextmanager
def mesh_local(settings: Settings) -> Iterator[System]:
    """Envoy, gateway, router, loader, PostgreSQL and a vLLM worker, whose engine's process has a role of its own."""
    with configured(configuration(settings), model=MODEL) as system:
        (worker,) = system.processes["worker"]
        yield System("mesh", system.port, {**system.processes, **roles("worker", worker)}, system.home, MODEL)


def configuration(settings: Settings) -> str:
    """The mesh's configuration. JSON is YAML."""
    provider = {
        "kind": "vllm",
        "model": str(settings.model),
        "served_model": MODEL,
        "threads": settings.threads,
        "drain_seconds": 1,
        "engine_args": settings.arguments(),
    }
    return json.dumps(
        {
            "gateway": {"drain_seconds": 1},
            "access": {"keyless": True},
            "providers": {_PROVIDER: provider},
            "models": [{"name": MODEL, "routes": [{"provider": _PROVIDER}]}],
        }
    )
