"""Which processes a mesh is made of, and which of them wait for which."""

import dataclasses
import functools
import pathlib
import signal
import sys
from collections.abc import Callable, Mapping

from services.chassis import grpc_waits
from services.chassis.credentials import Credentials
from services.cli import admin, drain, migrations, postgres, readiness
from services.cli.spec import Spec, Successor
from services.config.mesh import MeshConfig
from services.config.places import GatewayPlace, RouterPlace, WorkerPlace
from services.config.provider import VllmProvider

# Stopped from the highest to the lowest: whoever gives work goes before whoever does it.
_WORKER, _ROUTER, _LOADER, _GATEWAY, _EDGE = 2, 3, 4, 5, 6
# Nobody's work depends on it.
_ADMIN = _ROUTER

# A big model takes minutes from disk to GPU.
_LOADING_SECONDS = 1800.0
# What a process needs to end after its last call has.
_MARGIN_SECONDS = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Sources:
    """Where the programs come from. Paths are absolute; `envoy` is its whole command line, by how many went before.

    `credentials` prove the supervisor to processes on ports; None where nothing has to.
    """

    config: pathlib.Path
    migrations: pathlib.Path
    envoy: Callable[[int], tuple[str, ...]]
    engine_python: Callable[[], str]
    credentials: Credentials | None = None


def specs(
    config: MeshConfig,
    sources: Sources,
    environment: Mapping[str, str],
    embedded: postgres.Embedded | None,
    host: str | None = None,
) -> tuple[Spec, ...]:
    """The processes of a host, in the order in which people think of them; None is a host that runs everything."""
    found = _planned(config, sources, environment, embedded, None if host is None else config.on(host))
    there = {spec.name for spec in found}
    # Nobody waits for a process of another host: it may come later, and has to be borne without at any time.
    found = [dataclasses.replace(spec, after=tuple(name for name in spec.after if name in there)) for spec in found]
    needed = {name for spec in found for name in spec.after}
    return tuple(spec for spec in found if spec.name != migrations.NAME or embedded or spec.name in needed)


def _planned(
    config: MeshConfig,
    sources: Sources,
    environment: Mapping[str, str],
    embedded: postgres.Embedded | None,
    here: frozenset[str] | None,
) -> list[Spec]:
    def runs(name: str) -> bool:
        return here is None or name in here

    store = embedded.specs(environment) if embedded else ()
    if embedded:
        tables = migrations.spec(embedded.dsn, sources.migrations, environment, after=(postgres.NAME,))
    else:  # whose tables change when their owner says so, and not when some host starts a mesh
        tables = migrations.check(sources.config, environment)
    workers = [worker(config, place, sources, environment) for place in _workers(config) if runs(place.name)]
    routers = [_router(place, sources, environment) for place in config.routers() if runs(place.name)]
    places = [place for place in config.gateways() if runs(place.name)]
    loaders = [_loader(place, sources, environment, embedded) for place in places]
    gateways = [_gateway(config, place, sources, environment, embedded) for place in places]
    admins = [_admin(config, sources, environment, embedded)] if runs("admin") else []
    before = tuple(each.name for each in (*gateways, *loaders, *workers))
    edges = [_edge(config, sources, environment, after=before, alone=not gateways)] if runs("envoy") else []
    return [*store, tables, *workers, *routers, *admins, *loaders, *gateways, *edges]


def gateways(
    config: MeshConfig,
    sources: Sources,
    environment: Mapping[str, str],
    embedded: postgres.Embedded | None,
    host: str | None = None,
) -> tuple[Spec, ...]:
    """Of all processes the gateways and their loaders, whose number may change while the mesh runs."""
    found = specs(config, sources, environment, embedded, host)
    return tuple(spec for spec in found if spec.tier in (_GATEWAY, _LOADER))


def reachable(host: str) -> str:
    """A host at which one on this machine reaches what listens on `host`."""
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host


def _workers(config: MeshConfig) -> list[WorkerPlace]:
    """Those with an address of their own: who is found by a name is run by somebody else."""
    return [place for place in config.workers() if not place.by_name]


def _python(service: str, sources: Sources, *arguments: str, python: str = sys.executable) -> tuple[str, ...]:
    return (python, "-m", service, "--config", str(sources.config), *arguments)


def worker(config: MeshConfig, place: WorkerPlace, sources: Sources, environment: Mapping[str, str]) -> Spec:
    """One worker."""
    provider = config.providers[place.provider]
    has_engine = isinstance(provider, VllmProvider)
    return Spec(
        name=place.name,
        command=_python(
            *("services.workers", sources, "--worker", place.name),
            python=sources.engine_python() if has_engine else sys.executable,
        ),
        # An engine is forked from its worker, and dies of what that leaves it of gRPC without the event engine.
        environment=environment if has_engine else {**grpc_waits.ENVIRONMENT, **environment},
        tier=_WORKER,
        ready=functools.partial(readiness.grpc_serving, place.address, "worker", sources.credentials),
        start_seconds=_LOADING_SECONDS,
        stop_seconds=provider.drain_seconds + _MARGIN_SECONDS,
    )


def _router(place: RouterPlace, sources: Sources, environment: Mapping[str, str]) -> Spec:
    return Spec(
        name=place.name,
        command=_python("services.router", sources, "--router", place.name),
        environment={**grpc_waits.ENVIRONMENT, **environment},
        tier=_ROUTER,
        ready=functools.partial(readiness.grpc_serving, place.address, "router", sources.credentials),
    )


def _admin(
    config: MeshConfig, sources: Sources, environment: Mapping[str, str], embedded: postgres.Embedded | None
) -> Spec:
    # Also where callers need no keys: usage is asked of it.
    return Spec(
        name="admin",
        command=_python("services.gateway.admin", sources, *_database(embedded)),
        environment={**grpc_waits.ENVIRONMENT, **environment},
        tier=_ADMIN,
        after=(migrations.NAME,),
        ready=functools.partial(readiness.grpc_serving, config.admin.listen, "admin", sources.credentials),
    )


def _database(embedded: postgres.Embedded | None) -> tuple[str, ...]:
    # A DSN of the configuration is not repeated here: everyone on the host can read arguments.
    return ("--dsn", embedded.dsn) if embedded else ()


def _loader(
    place: GatewayPlace, sources: Sources, environment: Mapping[str, str], embedded: postgres.Embedded | None
) -> Spec:
    return Spec(
        name=place.loader,
        command=_python("services.gateway.loader", sources, "--gateway", place.name, *_database(embedded)),
        environment=environment,
        tier=_LOADER,
        after=(migrations.NAME,),
    )


def _gateway(
    config: MeshConfig,
    place: GatewayPlace,
    sources: Sources,
    environment: Mapping[str, str],
    embedded: postgres.Embedded | None,
) -> Spec:
    return Spec(
        name=place.name,
        command=_python("services.gateway", sources, "--gateway", place.name, *_database(embedded)),
        environment={**grpc_waits.ENVIRONMENT, **environment},
        tier=_GATEWAY,
        after=(*(router.name for router in config.routers()), migrations.NAME),
        ready=functools.partial(readiness.grpc_serving, place.address, "gateway", sources.credentials),
        # It may be on its way out already, and telling the edge so.
        stop_seconds=config.gateway.drain_seconds + 2 * _MARGIN_SECONDS,
        # The edge has gone before it: nobody has to notice that it takes no more work.
        stop_signal=signal.SIGINT,
    )


def _edge(
    config: MeshConfig, sources: Sources, environment: Mapping[str, str], *, after: tuple[str, ...], alone: bool
) -> Spec:
    return Spec(
        name="envoy",
        command=sources.envoy(0),
        environment=environment,
        tier=_EDGE,
        # Not before there is somebody to answer.
        after=after,
        # Where all gateways are on other hosts they may come later.
        ready=functools.partial(readiness.edge_open, admin.SOCKET, gateways=not alone),
        succeed=lambda number: Successor(
            sources.envoy(number),
            functools.partial(readiness.edge_open, admin.SOCKET, gateways=not alone, life=number),
        ),
        leave=functools.partial(drain.drain_edge, admin.SOCKET, config.gateway.drain_seconds),
        stop_seconds=config.gateway.drain_seconds + _MARGIN_SECONDS,
    )
