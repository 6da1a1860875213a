"""`python -m services.router --config FILE [--router NAME]`: a router process."""

import argparse
import asyncio
import contextlib
import pathlib
import random
import time

import structlog
from hybridinference.router.v1 import router_service_pb2_grpc as router_grpc

from services.chassis import ids, logs, loop, metrics, notify, scheduling, server, tracing
from services.chassis.config import ConfigError
from services.chassis.credentials import Credentials
from services.chassis.reloading import Reloading
from services.config import fixed, identity, mesh
from services.config.last_good import LastGood
from services.config.places import RouterPlace
from services.router import callers, service
from services.router.checks import Checks
from services.router.decider import Decider
from services.router.fleet import Fleet
from services.router.names import Names
from services.router.probes import Probes
from services.router.roster import Roster
from services.router.spans import PlacementSpans
from services.router.telemetry import Telemetry

LOG = structlog.get_logger()

# A placement from a fleet that is half known goes to the half that happened to report first.
_FIRST_REPORTS_SECONDS = 2.0
# Streams of gateways never end by themselves; this is only for answers that are on their way.
_DRAIN_SECONDS = 0.5


async def serve(
    config: mesh.MeshConfig,
    path: pathlib.Path,
    good: LastGood,
    place: RouterPlace,
    credentials: Credentials | None,
    level: logs.Level,
) -> None:
    """Serve as that router until told to stop, by what the file at `path` says from time to time."""
    level.follow_signals()
    clock = time.monotonic
    registry = metrics.new_registry()
    telemetry = Telemetry(registry, decision_share=config.router.decision_log_share)
    names = Names(config)
    await names.look()
    roster = Roster(config, telemetry, found=names.found)
    telemetry.watch(roster)
    decider = Decider(roster, config.router.retry, rng=random.Random(), new_id=ids.new_id, observer=telemetry)
    fleet = Fleet(roster, stale_seconds=config.router.stale_seconds, clock=clock, credentials=credentials)
    probes = Probes(config, roster, fleet.notify, clock=clock, rng=random.Random())
    servicer = service.RouterServicer(decider, fleet, clock=clock, config_version=config.version)

    def adopt(wanted: mesh.MeshConfig) -> None:
        fixed.require_same(config, wanted, source=str(path))
        names.reconfigure(wanted)
        take(wanted)

    def take(wanted: mesh.MeshConfig) -> None:
        decider.reconfigure(wanted, clock())
        probes.config = wanted
        fleet.reconfigure(stale_seconds=wanted.router.stale_seconds)
        telemetry.reconfigure(decision_share=wanted.router.decision_log_share)
        telemetry.watch(roster)
        servicer.config_version = wanted.version
        level.reconfigure(level=wanted.log.level)

    async with contextlib.AsyncExitStack() as stack:
        notifier = await stack.enter_async_context(notify.open_notifier())
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

        def moved() -> None:
            roster.found = names.found
            take(reloading.config)

        await stack.enter_async_context(metrics.open_metrics(registry, config.metrics_address(place.name)))
        tracer = await stack.enter_async_context(
            tracing.open_tracing(config.tracing, role="router", process=place.name, registry=registry)
        )
        servicer.spans = None if tracer is None else PlacementSpans(tracer)
        up = await stack.enter_async_context(
            server.open_server(
                place.address,
                lambda grpc_server: router_grpc.add_RouterServiceServicer_to_server(servicer, grpc_server),
                [service.NAME],
                registry,
                endless=service.ENDLESS,
                credentials=credentials,
                callers=callers.CALLERS,
            )
        )
        await stack.enter_async_context(fleet.watching(Checks(roster, fleet.notify).follow, probes.follow))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        following = [tasks.create_task(each) for each in (reloading.follow(), names.follow(moved))]
        await fleet.first_reports(seconds=_FIRST_REPORTS_SECONDS)
        await up.mark_serving()
        LOG.info("router.serving", workers=len(roster.workers), models=len(roster.pools))
        await server.stop_requested(notifier)
        await up.drain(seconds=_DRAIN_SECONDS)
        for task in following:
            task.cancel()


def _version(config: mesh.MeshConfig) -> str:
    return config.version


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m services.router", description="The router process.")
    parser.add_argument("--config", type=pathlib.Path, required=True, help="the mesh's configuration")
    parser.add_argument("--router", default="router", help="which of the routers to be")
    arguments = parser.parse_args()
    good = LastGood(arguments.config, "router", arguments.router)
    try:
        config = good.begin()
        place = config.router_place(arguments.router)
        credentials = identity.credentials(config, "router", place.name)
    except ConfigError as error:
        parser.exit(2, f"{error}\n")
    level = logs.configure(place.name, level=config.log.level)
    patient = scheduling.worth_it(config.engine_cores(config.beside(place.name)))
    loop.run(serve(config, arguments.config, good, place, credentials, level), patient=patient)


if __name__ == "__main__":
    main()
