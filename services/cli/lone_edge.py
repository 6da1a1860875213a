"""`hybrid edge`: one Envoy without a supervisor, as a unit of systemd or a container runs it."""

import asyncio
import os
import pathlib

from services.chassis import scheduling
from services.chassis.config import ConfigError
from services.cli import admin, edge, hosts, logfile, surroundings
from services.cli import drain as draining
from services.cli import reload as reloading
from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.readiness import edge_open
from services.cli.up import load
from services.config.mesh import MeshConfig


def run(home: Home, config_file: pathlib.Path) -> None:
    """Become Envoy.

    Raises:
        Problem: the configuration cannot be used; Envoy has checked it.
    """
    environment = surroundings.environment(os.environ)
    config = load(config_file, environment)
    home.prepare()
    os.chdir(home.path)
    (home.path / admin.SOCKET).unlink(missing_ok=True)  # one that was killed leaves it behind
    os.close(logfile.open_log(home.log("envoy-access")))  # Envoy would let everybody read it
    try:
        path = edge.render(config, home=home.path)
        edge.validate(path)
    except ConfigError as error:
        raise Problem("\n".join(error.problems), code=2) from error
    command = edge.command(edge.live(path), drain_seconds=edge.longest_seconds(config))
    scheduling.be_patient(_patient(config))
    os.execve(command[0], command, environment)


def _patient(config: MeshConfig) -> bool:
    """Whether the engines beside it leave a core, where it is known which host this is."""
    try:
        host = hosts.chosen(config, None)
    except Problem:
        return True
    return scheduling.worth_it(config.engine_cores(hosts.here(config, host)))


def ready(home: Home, seconds: float) -> None:
    """Wait until it listens and has a gateway to call.

    Raises:
        Problem: it has neither after so long.
    """

    async def wait() -> None:
        async with asyncio.timeout(seconds):
            await edge_open(home.path / admin.SOCKET)

    try:
        asyncio.run(wait())
    except TimeoutError as error:
        raise Problem(f"the edge has no gateway to call after {seconds:.0f} s; do gateways run?") from error


def reload(home: Home, config_file: pathlib.Path) -> bool:
    """Have it take up its configuration; whether anything was new.

    Raises:
        Problem: the configuration cannot be used; the edge goes on with what it had.
    """
    config = load(config_file, surroundings.environment(os.environ))
    os.chdir(home.path)
    try:
        return reloading.apply(config, home.path, edge.called(config))
    except ConfigError as error:
        raise Problem("\n".join(error.problems), code=2) from error
    except OSError as error:
        raise Problem(f"no edge runs in {home.path}: {error}") from error


def drain(home: Home, config_file: pathlib.Path) -> None:
    """Take no more calls, and wait until none is under way, for as long as gateways wait.

    Raises:
        Problem: the configuration cannot be used.
    """
    config = load(config_file, surroundings.environment(os.environ))
    asyncio.run(draining.drain_edge(home.path / admin.SOCKET, config.gateway.drain_seconds))
