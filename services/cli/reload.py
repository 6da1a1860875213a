"""`hybrid reload`: has a running mesh take up what its configuration says now, without cutting a call."""

import asyncio
import dataclasses
import json
import os
import pathlib
import re
import signal
import time

from services.chassis.config import ConfigError
from services.cli import admin, edge, edge_files, sections, surroundings, taking
from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.running import required
from services.cli.state import MeshState, ProcessPhase
from services.cli.turn import turn
from services.cli.up import load
from services.config.mesh import MeshConfig

_SECONDS = 10.0
_SCALE_SECONDS = 60.0
_SCALED = re.compile(r"(gateway|loader)(-\d+)?")
_PAUSE_SECONDS = 0.02
_WARMING = "listener_manager.total_listeners_warming"
# The statistics of each file that Envoy reads again.
_SUBSCRIPTIONS = {edge_files.LISTENERS: "listener_manager.lds", edge_files.ENDPOINTS: "cluster.gateway"}


@dataclasses.dataclass(frozen=True, slots=True)
class Reloaded:
    """What came of it.

    Attributes:
        edge_changed: whether the edge has changed.
        version: of the configuration.
        taken: what became of it at router, gateways and admin process.
        at_restart: sections that have changed and take effect with a restart.
        restart: workers that read one of those, and run.
        start: workers that are new, and begin with the whole mesh.
        end: workers that are no more, and end with it.
    """

    edge_changed: bool
    version: str
    taken: taking.Taken
    at_restart: tuple[str, ...]
    restart: tuple[str, ...]
    start: tuple[str, ...]
    end: tuple[str, ...]


def reload(home: Home, mesh: MeshState) -> Reloaded:
    """Read the mesh's configuration again, and have edge and processes take up what belongs to them.

    Raises:
        Problem: the configuration cannot be used, or Envoy refuses what follows from it; what ran before still runs.
    """
    config = load(pathlib.Path(mesh.config), surroundings.environment(os.environ))
    if (config.edge.tls is None) != (mesh.certificate is None):
        raise Problem("`edge.tls`: TLS begins and ends with a start of the whole mesh; nothing was changed", code=2)
    if mesh.state != "ready":
        raise Problem(f"the mesh is {mesh.state}; only one that is ready takes up anything")
    changed = sections.changed(mesh.sections, sections.of(config))
    fixed = ", ".join(f"`{name}`" for name in changed if name in sections.FIXED & mesh.sections.keys())
    if fixed:
        raise Problem(f"{fixed}: takes effect with a start of the whole mesh; nothing was changed", code=2)
    with turn(home):
        try:
            edge_changed = bool(mesh.edge) and _change(home, mesh, config)
            processes = required(home).processes
            taken = asyncio.run(taking.tell(home, config, processes))
        except ConfigError as error:
            raise Problem("\n".join(error.problems), code=2) from error
        except OSError as error:
            required(home)  # it may have ended meanwhile
            raise Problem(f"cannot be taken up: {error}") from error
    running = {process.name for process in processes}
    workers = [place for place in config.workers() if not place.by_name]
    workers = [place for place in workers if not mesh.host or place.name in config.on(mesh.host)]
    wanted = {place.name: f"providers.{place.provider}" for place in workers}
    return Reloaded(
        edge_changed,
        config.version,
        taken,
        at_restart=changed,
        restart=tuple(name for name, section in wanted.items() if section in changed and name in running),
        start=tuple(name for name in wanted if name not in running),
        end=tuple(sorted(name for name in running - wanted.keys() if _is_worker(name, mesh))),
    )


def _change(home: Home, mesh: MeshState, config: MeshConfig) -> bool:
    """Have edge, gateways and loaders be what the configuration says; whether the edge is another than before."""
    *_, before = edge.addresses(home.run / "envoy" / "edge.yaml")
    wanted = edge.called(config)
    stays = wanted[: len(before)] == before[: len(wanted)]
    if not stays or (len(wanted) != len(before) and not edge.by_file((*wanted, *before))):
        raise Problem("`gateway.listen`: gateways that run are moved by a start of the whole mesh", code=2)
    edge.validate(edge.render(config, home=home.path, name="draft.yaml"))
    # What runs is looked at, not what the edge calls: an earlier reload may have been interrupted between the two.
    # Nothing is called before it serves, nor ended before it is called no more.
    names = _names(config, mesh.host)
    if names - {name for name, phase in _scaled(home).items() if phase not in ("stopping", "stopped")}:
        _scale(home, mesh, config)
    changed = apply(config, home.path, wanted)
    if _scaled(home).keys() - names:
        _scale(home, mesh, config)
    return changed


def _is_worker(name: str, mesh: MeshState) -> bool:
    """Whether a process is a worker of the mesh as it was started."""
    provider, _, index = name.rpartition("-")
    return f"providers.{provider}" in mesh.sections and index.isdigit()


def _names(config: MeshConfig, host: str) -> set[str]:
    """Gateways and loaders that a configuration has on this host; empty is a host that runs everything."""
    there = {name for place in config.gateways() for name in (place.name, place.loader)}
    return there & config.on(host) if host else there


def _scaled(home: Home) -> dict[str, ProcessPhase]:
    """Gateways and loaders that there are."""
    return {each.name: each.state for each in required(home).processes if _SCALED.fullmatch(each.name)}


def _scale(home: Home, mesh: MeshState, config: MeshConfig) -> None:
    """Have the supervisor run as many gateways and loaders as the configuration says, and wait until it does.

    Raises:
        ConfigError: one of them does not get ready.
    """
    wanted = _names(config, mesh.host)
    os.kill(mesh.pid, signal.SIGUSR1)
    until = time.monotonic() + _SCALE_SECONDS + config.gateway.drain_seconds
    while True:
        there = _scaled(home)
        if there.keys() == wanted and all(state == "ready" for state in there.values()):
            return
        if time.monotonic() > until:
            late = sorted(name for name in wanted | there.keys() if name not in wanted or there.get(name) != "ready")
            raise ConfigError([f"not as it should be: {', '.join(late)}; see {home.logs}"])
        time.sleep(_PAUSE_SECONDS)


def apply(config: MeshConfig, home: pathlib.Path, gateways: tuple[str, ...] | None = None) -> bool:
    """Have the Envoy of a home take up a configuration; whether anything of it was new.

    Where it listens stays as it is, and which gateways it calls, unless their addresses are given.

    Raises:
        ConfigError: Envoy refuses it, or does not say; it goes on with what it had.
    """
    directory = home / "run" / "envoy"
    host, port, before = edge.addresses(directory / "edge.yaml")
    here = config.model_copy(
        update={
            "edge": config.edge.model_copy(update={"host": host, "port": port}),
            "gateway": config.gateway.model_copy(update={"listen": gateways or before}),
        }
    )
    draft = edge.render(here, home=home, name="draft.yaml")
    edge.validate(draft)
    parts = edge.parts(draft)
    live = home / edge_files.DIRECTORY
    # First: the listener is not there before the certificates that it names.
    for name, secret in parts.secrets.items():
        edge.replace(live / name, edge_files.encoded(secret))
    files = {edge_files.LISTENERS: parts.listeners, edge_files.ENDPOINTS: parts.endpoints}
    changed = [name for name, part in files.items() if edge_files.encoded(part) != (live / name).read_bytes()]
    for name in changed:
        asyncio.run(taken(home, name, edge_files.encoded(files[name])))
    # For the next Envoy: what a running one takes up only at its start.
    edge.replace(directory / edge_files.BOOTSTRAP, edge_files.encoded(parts.bootstrap))
    draft.replace(directory / "edge.yaml")
    return bool(changed)


async def taken(home: pathlib.Path, name: str, content: bytes) -> None:
    """Put a file's new content in the place of the old, and return once Envoy has taken it.

    Raises:
        ConfigError: it has not; the old content is back.
    """
    file = home / edge_files.DIRECTORY / name
    before = file.read_bytes()
    subscription, socket = _SUBSCRIPTIONS[name], home / admin.SOCKET
    version = json.loads(content)["version_info"]
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
