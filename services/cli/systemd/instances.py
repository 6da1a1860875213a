"""Which units a host runs, and what each of them needs beyond its template."""

import dataclasses
import math
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from services.chassis.mistake import Location
from services.cli import hosts
from services.cli.problem import Problem
from services.cli.systemd.secrets import Given, Private
from services.config.mesh import MeshConfig
from services.config.places import WorkerPlace
from services.config.provider import VllmProvider

PREFIX = "hybridinference"
TARGET = f"{PREFIX}.target"
MIGRATE = f"{PREFIX}-migrate.service"

# Beyond the grace for running calls: being noticed, telling those who are interrupted, writing the spool.
_GATEWAY_SECONDS, _WORKER_SECONDS, _EDGE_SECONDS = 30, 15, 20
# A big model takes minutes from disk to GPU.
_LOADING_SECONDS = 1800
# An engine that captures graphs or compiles holds its worker's interpreter for long.
_ENGINE_WATCHDOG_SECONDS = 120
# systemd allows more characters, and gives some of them a meaning.
_INSTANCE = re.compile(r"[A-Za-z0-9_.-]+")
# What engines on GPUs open beside the GPU itself.
_NVIDIA = ("/dev/nvidiactl rw", "/dev/nvidia-uvm rw", "/dev/nvidia-uvm-tools rw", "char-nvidia-caps rw")

Kind = Literal["gpu", "cpu"]


@dataclasses.dataclass(frozen=True, slots=True)
class Engine:
    """What workers with an engine run on: `kind` is the hardware, `python` the interpreter that has the engine."""

    kind: Kind
    python: str


@dataclasses.dataclass(frozen=True, slots=True)
class Instance:
    """A unit of a host. `lines` are what its drop-in says, by section."""

    unit: str
    lines: Mapping[str, Sequence[str]]


def processes(config: MeshConfig, host: str | None, called: str | None = None) -> tuple[str, ...]:
    """The processes of a host, in the configuration's words; loaders are with their gateways.

    Args:
        config: the mesh's.
        host: which one is meant; None is the only one, or the one that is called as this machine is.
        called: how this machine is called; None: as it says itself.

    Raises:
        Problem: it is not clear which one is meant.
    """
    chosen = hosts.chosen(config, host, called=called)
    if chosen is not None:
        return config.hosts[chosen]
    workers = [place.name for place in config.workers()]
    routers = [place.name for place in config.routers()]
    gateways = [place.name for place in config.gateways()]
    return (*workers, *routers, *gateways, "admin", "envoy")


def instances(
    config: MeshConfig,
    names: Sequence[str],
    *,
    home: pathlib.Path,
    secrets: Sequence[tuple[Location, pathlib.Path]],
    engine: Engine | None,
) -> tuple[Instance, ...]:
    """The units of those processes, and the one that migrates tables, which nothing starts by itself.

    Args:
        config: the mesh's.
        names: of the processes.
        home: from where relative paths of the configuration are meant.
        secrets: where the configuration names files of secrets, and those files.
        engine: what workers with an engine run on; not needed where there are none.

    Raises:
        Problem: a name cannot be a unit's, or two secrets have one name.
    """
    given, private = Given(secrets), Private(config, home)
    gateways = [place for place in config.gateways() if place.name in names]
    routers = [_unit("router", place.name) for place in config.routers() if place.name in names]
    found = [
        _worker(config, place, routers, [*given.to("providers", place.provider), *private.but(of=place.name)], engine)
        for place in config.workers()
        if place.name in names
    ]
    found += [
        Instance(_unit("router", place.name), {"Service": [*given.to(), *private.but(of=place.name)]})
        for place in config.routers()
        if place.name in names
    ]
    for place in gateways:
        stop = f"TimeoutStopSec={math.ceil(config.gateway.drain_seconds) + _GATEWAY_SECONDS}"
        own = private.but(place.spool, config.gateway.tenant_key, config.access.pepper, of=place.name)
        after = [f"After={' '.join(routers)}"] if routers else []
        lines = {"Unit": after, "Service": [stop, *given.to("ledger"), *own]}
        found.append(Instance(_unit("gateway", place.name), lines))
        lines = {"Service": [*given.to("ledger"), *private.but(place.spool)]}
        found.append(Instance(_unit("loader", place.name), lines))
    if "admin" in names:
        own = private.but(config.access.pepper, *(each.credential for each in config.admin.operators), of="admin")
        found.append(Instance(f"{PREFIX}-admin.service", {"Service": [*given.to("ledger"), *own]}))
    if "envoy" in names:
        called = [_unit("gateway", place.name) for place in gateways]
        found.append(_envoy(config, called, [*given.to(), *private.but(of="envoy")]))
    found.append(Instance(MIGRATE, {"Service": [*given.to("ledger"), *private.but()]}))
    return tuple(found)


def _unit(role: str, name: str) -> str:
    if not _INSTANCE.fullmatch(name):
        raise Problem(f"`{name}` cannot be a unit's name: letters from a to z, digits, - and _", code=2)
    return f"{PREFIX}-{role}@{name}.service"


def _worker(
    config: MeshConfig, place: WorkerPlace, routers: Sequence[str], shared: Sequence[str], engine: Engine | None
) -> Instance:
    provider = config.providers[place.provider]
    unit = _unit("worker", place.name)
    lines = [f"TimeoutStopSec={math.ceil(provider.drain_seconds) + _WORKER_SECONDS}", *shared]
    if not isinstance(provider, VllmProvider):
        # At a stop of everything routers go first. An engine would keep them waiting at a start: it loads for minutes.
        return Instance(unit, {"Unit": [f"Before={' '.join(routers)}"] if routers else [], "Service": lines})
    if engine is None:
        raise Problem("the engine's environment is not set up: `make setup` makes it", code=1)
    lines += [
        f"TimeoutStartSec={_LOADING_SECONDS}",
        f"WatchdogSec={_ENGINE_WATCHDOG_SECONDS}",
        "TasksMax=infinity",
        # Compilers write code and run it, libraries of numbers pin their threads, and what there is of memory and
        # processors they read in /proc.
        "MemoryDenyWriteExecute=no",
        "SystemCallFilter=@resources",
        "ExecStart=",
        f"ExecStart={engine.python} -m services.workers --config {{config}} --worker %i",
    ]
    if engine.kind == "cpu":  # it moves into a network of its own
        return Instance(unit, {"Unit": [], "Service": [*lines, "RestrictNamespaces=user net"]})
    devices = [f"/dev/nvidia{number} rw" for number in provider.devices] or ["char-nvidia rw"]
    allowed = [f"DeviceAllow={each}" for each in (*devices, *_NVIDIA)]
    return Instance(unit, {"Unit": [], "Service": [*lines, "PrivateDevices=no", "DevicePolicy=closed", *allowed]})


def _envoy(config: MeshConfig, gateways: Sequence[str], shared: Sequence[str]) -> Instance:
    lines = [f"TimeoutStopSec={math.ceil(config.gateway.drain_seconds) + _EDGE_SECONDS}", *shared]
    if config.edge.port < 1024:  # which only root may open, or who has this; a user namespace would take it away
        lines += ["PrivateUsers=no", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE"]
        lines += ["AmbientCapabilities=CAP_NET_BIND_SERVICE"]
    # At a stop of everything it is the first to go.
    after = [f"After={' '.join(gateways)}"] if gateways else []
    return Instance(f"{PREFIX}-envoy.service", {"Unit": after, "Service": lines})
