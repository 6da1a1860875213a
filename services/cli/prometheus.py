"""What Prometheus has to be told of a mesh: where each process is."""

import json
from typing import Any

from services.cli.plan import reachable
from services.cli.problem import Problem
from services.config.loopback import is_loopback
from services.config.mesh import MeshConfig
from services.config.metrics import at


def targets(config: MeshConfig, *, host: str | None = None) -> list[dict[str, Any]]:
    """The mesh's processes for `file_sd_configs`, each with its role as `job` and its name as `process`.

    Args:
        config: the mesh's configuration.
        host: only those on the host of that name; None is all.

    Raises:
        Problem: the processes have no ports, or there is no such host.
    """
    if config.metrics.port is None:
        raise Problem("Prometheus needs ports, and the processes have sockets: set `metrics: {port: 9400}`", code=2)
    if host is not None and host not in config.hosts:
        known = ", ".join(config.hosts) or "none, and `hosts` in the configuration says which"
        raise Problem(f"there is no host `{host}`; there are: {known}", code=2)
    found = []
    for name, role, index in config.roles():
        port = config.metrics.port_of(role, index)
        assert port is not None
        for where in _hosts(config, name):
            if host is None or where == host:
                labels = {"job": role, "process": name} | ({"host": where} if where else {})
                found.append({"targets": [at(_reached(config, where), port)], "labels": labels})
    return found


def encoded(found: list[dict[str, Any]]) -> str:
    """A file's content for `file_sd_configs`."""
    return json.dumps(found, indent=2) + "\n"


def _hosts(config: MeshConfig, process: str) -> tuple[str, ...]:
    """Where a process runs, by the names of `hosts`; one empty name where there are none."""
    if not config.hosts:
        return ("",)
    # Loaders are with their gateways.
    near = {place.loader: place.name for place in config.gateways()}.get(process, process)
    return tuple(name for name, processes in config.hosts.items() if near in processes)


def _reached(config: MeshConfig, host: str) -> str:
    """Where Prometheus finds what listens on that host. What listens on loopback is found from there alone."""
    own = is_loopback(config.metrics.host) or not host
    return reachable(config.metrics.host) if own else host
