"""Of several hosts the one that is meant, and what it has to share with the others."""

import pathlib
import socket

from services.cli.problem import Problem
from services.config.mesh import MeshConfig


def here(config: MeshConfig, host: str | None) -> frozenset[str]:
    """The processes that such a host runs; all of them where one host runs everything."""
    return config.beside("envoy") if host is None else config.on(host)


def chosen(config: MeshConfig, given: str | None, *, called: str | None = None) -> str | None:
    """Which of the configuration's hosts this is; None where one host runs everything.

    Args:
        config: the mesh's.
        given: what was said; None: the only host there is, or the one that is called as this machine is.
        called: how this machine is called; None: as it says itself.

    Raises:
        Problem: there is no such host, or nobody knows which one is meant.
    """
    if not config.hosts:
        if given is not None:
            raise Problem("--host: the configuration has no `hosts`, so this host runs everything", code=2)
        return None
    known = ", ".join(config.hosts)
    if given is not None:
        if given not in config.hosts:
            raise Problem(f"--host: there is no host `{given}`; there are: {known}", code=2)
        return given
    if len(config.hosts) == 1:
        return next(iter(config.hosts))
    called = socket.gethostname() if called is None else called
    for name in (called, called.partition(".")[0]):
        if name in config.hosts:
            return name
    raise Problem(f"which host is this? It is called {called}; say --host with one of: {known}", code=2)


def shared(config: MeshConfig) -> tuple[tuple[str, str], ...]:
    """The files that have to be the same on every host with a gateway, each with what it is for."""
    files = [(config.gateway.tenant_key, "callers are marked")]
    if not config.access.keyless:
        files.append((config.access.pepper, "keys are stored"))
    return tuple(files)


def sharing(config: MeshConfig) -> tuple[str, ...]:
    """The hosts that need those files: with several of them, the first one may make them, and the others copy."""
    # The admin process stores keys, and the gateways look for them under the same pepper.
    needed = {place.name for place in config.gateways()} | {"admin"}
    return tuple(host for host in config.hosts if not needed.isdisjoint(config.on(host)))


def require_shared(config: MeshConfig, host: str, home: pathlib.Path) -> None:
    """See to it that no host makes a key of its own where all of them need the same.

    Raises:
        Problem: a file is missing that is to be copied from another host.
    """
    hosts = sharing(config)
    if host not in hosts[1:]:
        return
    for name, what in shared(config):
        file = home / name
        if not file.exists():
            raise Problem(
                f"{file} is missing: the key under which {what} has to be the same on {', '.join(hosts)}; "
                f"`{hosts[0]}` makes it when it first starts: copy it from there"
            )
