"""`hybrid reload`: has a running edge take up what its configuration says now, without cutting a call."""

import asyncio
import contextlib
import dataclasses
import fcntl
import os
import pathlib
import time
from collections.abc import Iterator

import yaml

from services.chassis.config import ConfigError
from services.cli import admin, edge, edge_files, sections, surroundings
from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.state import MeshState
from services.cli.up import load
from services.config.mesh import MeshConfig

_SECONDS = 10.0
_PAUSE_SECONDS = 0.02
_WARMING = "listener_manager.total_listeners_warming"
# The statistics of each file that Envoy reads again.
_SUBSCRIPTIONS = {edge_files.LISTENERS: "listener_manager.lds", edge_files.ENDPOINTS: "cluster.gateway"}


@dataclasses.dataclass(frozen=True, slots=True)
class Reloaded:
    """What came of it: whether the edge has changed, and what else has changed and takes effect with a restart."""

    edge_changed: bool
    at_restart: tuple[str, ...]


def reload(home: Home, mesh: MeshState) -> Reloaded:
    """Read the mesh's configuration again, and have the running edge take up what belongs to it.

    Raises:
        Problem: the configuration cannot be used, or Envoy refuses what follows from it; what ran before still runs.
    """
    config = load(pathlib.Path(mesh.config), surroundings.environment(os.environ))
    if (config.edge.tls is None) != (mesh.certificate is None):
        raise Problem("`edge.tls`: TLS begins and ends with a start of the whole mesh; nothing was changed", code=2)
    with _alone(home.run / "envoy"):
        try:
            changed = apply(config, home.path)
        except ConfigError as error:
            raise Problem("\n".join(error.problems), code=2) from error
    return Reloaded(changed, sections.changed(mesh.sections, sections.of(config)))


def apply(config: MeshConfig, home: pathlib.Path) -> bool:
    """Have the Envoy of a home take up a configuration; whether anything of it was new.

    Where it listens, and which gateways it calls, stays as it is.

    Raises:
        ConfigError: Envoy refuses it, or does not say; it goes on with what it had.
    """
    directory = home / "run" / "envoy"
    host, port, gateways = edge.addresses(directory / "edge.yaml")
    here = config.model_copy(
        update={
            "edge": config.edge.model_copy(update={"host": host, "port": port}),
            "gateway": config.gateway.model_copy(update={"listen": gateways}),
        }
    )
    draft = edge.render(here, home=home, name="draft.yaml")
    edge.validate(draft)
    parts = edge.parts(draft)
    content = edge_files.encoded(parts.listeners)
    file = home / edge_files.DIRECTORY / edge_files.LISTENERS
    before = file.read_bytes()
    changed = content != before
    if changed:
        # First: the listener is not there before the certificates that it names.
        for name, secret in parts.secrets.items():
            edge.replace(file.with_name(name), edge_files.encoded(secret))
        asyncio.run(taken(home, edge_files.LISTENERS, content))
    draft.replace(directory / "edge.yaml")
    return changed


async def taken(home: pathlib.Path, name: str, content: bytes) -> None:
    """Put a file's new content in the place of the old, and return once Envoy has taken it.

    Raises:
        ConfigError: it has not; the old content is back.
    """
    file = home / edge_files.DIRECTORY / name
    before = file.read_bytes()
    subscription, socket = _SUBSCRIPTIONS[name], home / admin.SOCKET
    version = yaml.safe_load(content)["version_info"]
    rejected = f"{subscription}.update_rejected"
    try:
        refused = (await admin.counts(socket, rejected))[rejected]
        edge.replace(file, content)
        until = time.monotonic() + _SECONDS
        while await admin.version(socket, subscription) != version or (await admin.counts(socket, _WARMING))[_WARMING]:
            if (await admin.counts(socket, rejected))[rejected] != refused:
                raise ConfigError([f"Envoy refuses it: {await admin.refusal(socket) or 'logs/envoy.log says why'}"])
            if time.monotonic() > until:
                raise ConfigError([f"Envoy has not taken it within {_SECONDS:.0f} seconds"])
            await asyncio.sleep(_PAUSE_SECONDS)
    except OSError as error:
        edge.replace(file, before)
        raise ConfigError([f"Envoy does not answer: {error}; `hybrid status` says what is missing"]) from error
    except ConfigError:
        edge.replace(file, before)
        raise


@contextlib.contextmanager
def _alone(directory: pathlib.Path) -> Iterator[None]:
    """Nobody else does the same meanwhile."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise Problem("the edge is not there yet; `hybrid status` says what is missing") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
