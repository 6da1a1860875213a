"""`python -m services.gateway --config FILE [--gateway NAME]`: a gateway process."""

import argparse
import asyncio
import contextlib
import pathlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import grpc
import structlog
import uvloop
from hybridinference.gateway.v1 import inference_service_pb2_grpc as gateway_grpc
from hybridinference.gateway.v1 import openai_service_pb2_grpc as openai_grpc
from hybridinference.gateway.v1 import overview_service_pb2_grpc as overview_grpc
from prometheus_client import CollectorRegistry

from services.chassis import ids, logs, metrics, notify, server, tracing
from services.chassis.config import ConfigError
from services.chassis.credentials import Credentials
from services.chassis.reloading import Reloading
from services.config import fixed, identity, mesh
from services.config.last_good import LastGood
from services.config.places import GatewayPlace, RouterPlace
from services.gateway import callers, inference
from services.gateway.adoption import Adoption
from services.gateway.channels import open_channels
from services.gateway.content.hashing import Hasher
from services.gateway.content.keeping import open_contents
from services.gateway.database import DATABASE_UP, open_database
from services.gateway.explainer import Explainer
from services.gateway.fleet import FleetView
from services.gateway.idempotency.interceptor import open_idempotency
from services.gateway.identity.interceptor import IdentityInterceptor
from services.gateway.identity.keyring import Keyring, open_keyring
from services.gateway.identity.peppers import Peppers
from services.gateway.models import Models
from services.gateway.openai import face as openai
from services.gateway.overview import service as overview
from services.gateway.placement import Placements
from services.gateway.pricing.book import PriceBook
from services.gateway.quota.estimates import Estimates
from services.gateway.quota.quota import Quota
from services.gateway.quota.upkeep import open_quota
from services.gateway.recorder import Recorder
from services.gateway.relay import Relay
from services.gateway.request_metrics import RequestMetrics
from services.gateway.router_choice import preference
from services.gateway.routers import open_routers
from services.gateway.schema import SchemaUnknown
from services.gateway.session import open_sessions
from services.gateway.shadowing import open_shadows
from services.gateway.spans import Spans
from services.gateway.spool.spool import Spool, open_spool
from services.gateway.tenant import Tenants

LOG = structlog.get_logger()

# Long enough for a router that starts beside us; without one the gateway serves alone.
_ROUTER_SECONDS = 2.0
# The edge checks our health every two seconds, again half a second later, and waits a second for each answer.
_NOTICE_SECONDS = 5.0
# How long telling those may take whose answers a stop interrupts.
_FAREWELL_SECONDS = 3.0


async def serve(
    config: mesh.MeshConfig,
    path: pathlib.Path,
    good: LastGood,
    place: GatewayPlace,
    tenants: Tenants,
    peppers: Peppers | None,
    dsn: str,
    credentials: Credentials | None,
    level: logs.Level,
) -> None:
    """Serve as that gateway until told to stop, by what the file at `path` says from time to time.

    Without peppers there are no keys: whoever calls is anybody.
    """
    level.follow_signals()
    settings, run = config.gateway, ids.new_id()
    registry = metrics.new_registry()
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(metrics.open_metrics(registry, config.metrics_address(place.name)))
        tracer = await stack.enter_async_context(
            tracing.open_tracing(config.tracing, role="gateway", process=place.name, registry=registry)
        )
        spool = await stack.enter_async_context(
            open_spool(pathlib.Path(place.spool), registry=registry, max_bytes=settings.spool_bytes)
        )
        notifier = await stack.enter_async_context(notify.open_notifier(lambda: spool.alive))
        routers = await stack.enter_async_context(open_routers(_preferred(config, place), registry, credentials))
        fleet = FleetView(routers, place.name)
        placements = Placements(routers, fleet, registry, gateway=run, waiting_bytes=settings.waiting_bytes)
        sessions = await stack.enter_async_context(
            open_sessions(
                credentials, idle_seconds=settings.idle_seconds, slow_reader_seconds=settings.slow_reader_seconds
            )
        )
        channels = await stack.enter_async_context(open_channels(credentials))
        book = PriceBook(config)
        contents = await stack.enter_async_context(open_contents(spool, Hasher(tenants.key), registry))
        recorder = Recorder(
            spool,
            RequestMetrics(registry),
            contents,
            run=run,
            config_version=config.version,
            models=config.names(),
            book=book,
            spans=None if tracer is None else Spans(tracer),
        )
        recorder.take_over()
        keyring = await stack.enter_async_context(
            open_keyring(
                dsn,
                peppers,
                registry,
                name=f"hybrid-{place.name}-keys",
                most=config.access.cached_keys,
                ceilings=config.admin.ceilings(),
            )
        )
        quota = await stack.enter_async_context(_limits(config, place, dsn, run, spool, keyring, registry))
        shadows = await stack.enter_async_context(
            open_shadows(placements, sessions, recorder, most=settings.max_shadows)
        )
        relay = Relay(
            placements,
            sessions,
            channels,
            shadows,
            recorder,
            quota,
            max_running=settings.max_running,
            show_worker=settings.show_worker,
            estimates=Estimates(config, book),
        )
        explainer = Explainer(routers, relay)
        models = Models(config, fleet, created_seconds=int(time.time()))
        typed_face = inference.InferenceServicer(
            relay,
            explainer,
            models,
            tenants,
            longest_seconds=settings.timeout_seconds,
            allow_pinning=settings.allow_pinning,
            trace_share=config.trace_share,
        )
        openai_face = openai.OpenAIServicer(
            relay,
            explainer,
            models,
            tenants,
            longest_seconds=settings.timeout_seconds,
            keep_alive_seconds=settings.keep_alive_seconds,
            allow_pinning=settings.allow_pinning,
            trace_share=config.trace_share,
        )

        overview_servicer = overview.OverviewServicer(
            config,
            book,
            fleet,
            models,
            recorder.recent,
            relay,
            gateway=place.name,
            router=lambda: routers.current.name if placements.connected.is_set() else "",
        )
        idempotency = await stack.enter_async_context(open_idempotency(channels, place.name, config, registry))
        adoption = Adoption(
            idempotency=idempotency,
            keyring=keyring,
            placements=placements,
            models=models,
            quota=quota,
            recorder=recorder,
            relay=relay,
            sessions=sessions,
            typed_face=typed_face,
            openai_face=openai_face,
            level=level,
            overview=overview_servicer,
        )

        def adopt(wanted: mesh.MeshConfig) -> None:
            fixed.require_same(config, wanted, source=str(path))
            wanted.gateway_place(place.name)  # raises where we are to be no more: whoever wants that ends us
            adoption.take(wanted)

        reloading = Reloading(
            path,
            config,
            read=good.read,
            adopt=adopt,
            version=_version,
            registry=registry,
            notifier=notifier,
            keep=good.keep,
            refused=good.refused,
        )

        def add(grpc_server: grpc.aio.Server) -> None:
            gateway_grpc.add_InferenceServiceServicer_to_server(typed_face, grpc_server)
            openai_grpc.add_OpenAIServiceServicer_to_server(openai_face, grpc_server)
            overview_grpc.add_OverviewServiceServicer_to_server(overview_servicer, grpc_server)

        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        following = [
            tasks.create_task(each)
            for each in (routers.follow(), fleet.follow(), placements.follow(), reloading.follow())
        ]
        # Before anything listens: an edge that has not noticed the end of our predecessor calls at once.
        await _met(placements)
        up = await stack.enter_async_context(
            server.open_server(
                place.address,
                add,
                [inference.NAME, openai.NAME, overview.NAME],
                registry,
                interceptors=[
                    IdentityInterceptor(keyring, registry),
                    idempotency,
                ],
                credentials=credentials,
                callers=callers.CALLERS,
            )
        )
        await up.mark_serving()
        following.append(tasks.create_task(_heed_drains(fleet, up)))
        LOG.info("gateway.serving", config_version=config.version)
        # SIGINT is for when nobody calls any more, as at the end of a whole mesh.
        if await server.stop_requested(notifier) == signal.SIGTERM:
            await up.retire(seconds=_NOTICE_SECONDS)
        ways = (sessions.interrupt, channels.interrupt, placements.interrupt)
        await _drain(up, reloading.config.gateway.drain_seconds, ways)
        for task in following:
            task.cancel()


async def _met(placements: Placements) -> None:
    """Wait for a router, but not for long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ROUTER_SECONDS):
            await placements.connected.wait()


async def _drain(up: server.Server, seconds: float, interrupts: Iterable[Callable[[], None]]) -> None:
    # An answer that the server cut would end like a whole one, at a client behind the edge: have it told first.
    later = asyncio.get_running_loop().call_later
    farewells = [later(seconds, interrupt) for interrupt in interrupts]
    await up.drain(seconds=seconds + _FAREWELL_SECONDS)
    for farewell in farewells:
        farewell.cancel()


async def _heed_drains(fleet: FleetView, up: server.Server) -> None:
    """Have the edge call us, or not, as operators say."""
    while True:
        drained = await fleet.drained_or_back()
        LOG.info("gateway.drained" if drained else "gateway.undrained")
        await up.mark_wanted(not drained)


@contextlib.asynccontextmanager
async def _limits(
    config: mesh.MeshConfig,
    place: GatewayPlace,
    dsn: str,
    run: str,
    spool: Spool,
    keyring: Keyring | None,
    registry: CollectorRegistry,
) -> AsyncIterator[Quota]:
    """Raises SchemaUnknown. Without keys nothing is asked of the database, and it may even be none."""
    keyless = config.access.keyless
    async with open_database(dsn, name=f"hybrid-{place.name}") as database:
        if not keyless:
            await database.require_schema()
        gateways, directory = len(config.gateways()), pathlib.Path(place.spool)
        async with open_quota(
            database,
            registry,
            run=run,
            gateway=place.name,
            gateways=gateways,
            spool=spool,
            directory=directory,
            keyless=keyless,
        ) as quota:
            if keyring is not None:
                up = DATABASE_UP.on(registry)
                up.labels("keys").set_function(lambda: not keyring.away)
                up.labels("limits").set_function(lambda: not quota.away)
            yield quota


def _preferred(config: mesh.MeshConfig, place: GatewayPlace) -> Sequence[RouterPlace]:
    """All routers, in the order in which that gateway prefers them."""
    routers = {router.name: router for router in config.routers()}
    number = [each.name for each in config.gateways()].index(place.name)
    return [routers[name] for name in preference(tuple(routers), number, config.beside(place.name))]


def _version(config: mesh.MeshConfig) -> str:
    return config.version


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m services.gateway", description="The gateway process.")
    parser.add_argument("--config", type=pathlib.Path, required=True, help="the mesh's configuration")
    parser.add_argument("--gateway", default="gateway", help="which of the gateways to be")
    parser.add_argument("--dsn", help="PostgreSQL; default: ledger.dsn of the configuration")
    arguments = parser.parse_args()
    good = LastGood(arguments.config, "gateway", arguments.gateway)
    try:
        config = good.begin()
        place = config.gateway_place(arguments.gateway)
    except ConfigError as error:
        parser.exit(2, f"{error}\n")
    level = logs.configure(place.name, level=config.log.level)
    try:
        credentials = identity.credentials(config, "gateway", place.name)
    except ConfigError as error:
        sys.exit(str(error))
    try:
        tenants = Tenants.of_file(pathlib.Path(config.gateway.tenant_key))
    except (OSError, ValueError) as error:
        sys.exit(f"the key of the callers' marks cannot be used: {error}")
    peppers = None
    if not config.access.keyless:
        try:
            peppers = Peppers.of_file(pathlib.Path(config.access.pepper))
        except (OSError, ValueError) as error:
            sys.exit(f"the peppers of the keys (`access.pepper`) cannot be used: {error}")
    dsn = config.ledger.address(arguments.dsn)
    if not dsn and not config.access.keyless:
        sys.exit(f"{arguments.config}: no database for keys: give --dsn, or set ledger.dsn")
    try:
        uvloop.run(serve(config, arguments.config, good, place, tenants, peppers, dsn, credentials, level))
    except SchemaUnknown as unknown:
        sys.exit(str(unknown))


if __name__ == "__main__":
    main()
