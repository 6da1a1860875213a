"""`python -m services.gateway --config FILE [--gateway NAME]`: a gateway process."""

import argparse
import asyncio
import contextlib
import pathlib
import signal
import sys
from collections.abc import Callable, Iterable

import grpc
import structlog
from hybridinference.gateway.v1 import inference_service_pb2_grpc as gateway_grpc
from hybridinference.gateway.v1 import openai_service_pb2_grpc as openai_grpc
from hybridinference.gateway.v1 import overview_service_pb2_grpc as overview_grpc

from services.chassis import logs, loop, metrics, notify, scheduling, server, tracing
from services.chassis.config import ConfigError
from services.chassis.reloading import Reloading
from services.config import fixed, identity, mesh
from services.config.last_good import LastGood
from services.gateway import callers, inference
from services.gateway.assembly import Given, assembled
from services.gateway.fleet import FleetView
from services.gateway.identity.interceptor import IdentityInterceptor
from services.gateway.identity.peppers import Peppers
from services.gateway.openai import face as openai
from services.gateway.overview import service as overview
from services.gateway.placement import Placements
from services.gateway.schema import SchemaUnknown
from services.gateway.spool.spool import open_spool
from services.gateway.tenant import Tenants

LOG = structlog.get_logger()

# Long enough for a router that starts beside us; without one the gateway serves alone.
_ROUTER_SECONDS = 2.0
# The edge checks our health every two seconds, again half a second later, and waits a second for each answer.
_NOTICE_SECONDS = 5.0
# How long telling those may take whose answers a stop interrupts.
_FAREWELL_SECONDS = 3.0


async def serve(given: Given) -> None:
    """Serve until told to stop, by what the configuration's file says from time to time.

    Raises:
        SchemaUnknown: the database's tables are not those that this release knows.
    """
    given.level.follow_signals()
    config, place = given.config, given.place
    registry = metrics.new_registry()
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(metrics.open_metrics(registry, config.metrics_address(place.name)))
        tracer = await stack.enter_async_context(
            tracing.open_tracing(config.tracing, role="gateway", process=place.name, registry=registry)
        )
        spool = await stack.enter_async_context(
            open_spool(pathlib.Path(place.spool), registry=registry, max_bytes=config.gateway.spool_bytes)
        )
        notifier = await stack.enter_async_context(notify.open_notifier(lambda: spool.alive))
        parts = await stack.enter_async_context(assembled(given, spool, tracer, registry))

        def adopt(wanted: mesh.MeshConfig) -> None:
            fixed.require_same(config, wanted, source=str(given.path))
            wanted.gateway_place(place.name)  # raises where we are to be no more: whoever wants that ends us
            parts.adoption.take(wanted)

        reloading = Reloading(
            given.path,
            config,
            read=given.good.read,
            adopt=adopt,
            version=_version,
            registry=registry,
            notifier=notifier,
            keep=given.good.keep,
            refused=given.good.refused,
        )

        def add(grpc_server: grpc.aio.Server) -> None:
            gateway_grpc.add_InferenceServiceServicer_to_server(parts.typed_face, grpc_server)
            openai_grpc.add_OpenAIServiceServicer_to_server(parts.openai_face, grpc_server)
            overview_grpc.add_OverviewServiceServicer_to_server(parts.overview, grpc_server)

        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        following = [
            tasks.create_task(each.follow()) for each in (parts.routers, parts.fleet, parts.placements, reloading)
        ]
        # Before anything listens: an edge that has not noticed the end of our predecessor calls at once.
        await _met(parts.placements)
        up = await stack.enter_async_context(
            server.open_server(
                place.address,
                add,
                [inference.NAME, openai.NAME, overview.NAME],
                registry,
                interceptors=[IdentityInterceptor(parts.keyring, registry), parts.idempotency],
                credentials=given.credentials,
                callers=callers.CALLERS,
            )
        )
        await up.mark_serving()
        following.append(tasks.create_task(_heed_drains(parts.fleet, up)))
        LOG.info("gateway.serving", config_version=config.version)
        # SIGINT is for when nobody calls any more, as at the end of a whole mesh.
        if await server.stop_requested(notifier) == signal.SIGTERM:
            await up.retire(seconds=_NOTICE_SECONDS)
        await _drain(up, reloading.config.gateway.drain_seconds, parts.interrupts)
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
    given = Given(
        config=config,
        path=arguments.config,
        good=good,
        place=place,
        tenants=tenants,
        peppers=peppers,
        dsn=dsn,
        credentials=credentials,
        level=level,
    )
    try:
        loop.run(serve(given), patient=scheduling.worth_it(config.engine_cores(config.beside(place.name))))
    except SchemaUnknown as unknown:
        sys.exit(str(unknown))


if __name__ == "__main__":
    main()
