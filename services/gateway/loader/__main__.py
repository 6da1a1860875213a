"""A loader's process: `python -m services.gateway.loader --config FILE [--gateway NAME] [--dsn DSN]`."""

import argparse
import asyncio
import contextlib
import os
import pathlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import structlog

from services.chassis import logs, loop, notify, scheduling
from services.chassis.config import ConfigError
from services.chassis.metrics import new_registry, open_metrics
from services.chassis.reloading import begun
from services.chassis.server import stop_requested
from services.config import mesh
from services.config.last_good import LastGood
from services.config.places import GatewayPlace
from services.gateway.loader.loading import Keeping, Loader
from services.gateway.loader.store import open_store
from services.gateway.loader.upkeep import Upkeep
from services.gateway.schema import Known, SchemaUnknown
from services.gateway.spool.kept import KEPT_TIMES
from services.gateway.spool.segments import LOADER_FILE, SpoolTaken, lock

LOG = structlog.get_logger()

# At a stop the gateway has closed its spool: what is left is a moment's work if the database answers.
_LAST_PASS_SECONDS = 10.0


async def serve(config: mesh.MeshConfig, good: LastGood, place: GatewayPlace, dsn: str, level: logs.Level) -> None:
    """Load that gateway's spool until SIGTERM or SIGINT, then what is left of it."""
    level.follow_signals()
    directory = pathlib.Path(place.spool)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    registry = new_registry()
    begun(registry, config.version, good.refused)
    good.keep()
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(_locked(directory))
        await stack.enter_async_context(open_metrics(registry, config.metrics_address(place.loader)))
        notifier = await stack.enter_async_context(notify.open_notifier())
        known = Known()
        keeping = Keeping(config.ledger.replay_hours * 3600, config.gateway.spool_bytes * KEPT_TIMES)
        loader = Loader(directory, lambda: open_store(dsn, known), registry, keeping=keeping)
        upkeep = Upkeep(dsn, registry, retention_months=config.ledger.retention_months, clock=lambda: datetime.now(UTC))
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(stop_requested(notifier))
            following = group.create_task(loader.follow(stop))
            keeping_up = group.create_task(upkeep.follow())
            await asyncio.wait((following, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            keeping_up.cancel()
            stop.set()
            await asyncio.wait((following,), timeout=_LAST_PASS_SECONDS)
            following.cancel()
    LOG.info("loader.stopped", bytes_left=loader.behind()[0])


@contextlib.contextmanager
def _locked(directory: pathlib.Path) -> Iterator[None]:
    # The database is not asked: this lock holds while it is away, and goes with the process whatever ends it.
    # Should two loaders meet all the same, the check of the progress in each transaction keeps them apart.
    descriptor = lock(directory / LOADER_FILE, role="loader")
    try:
        yield
    finally:
        os.close(descriptor)


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m services.gateway.loader", description=__doc__)
    parser.add_argument("--config", type=pathlib.Path, required=True, help="the mesh's configuration")
    parser.add_argument("--gateway", default="gateway", help="the gateway whose spool it is")
    parser.add_argument("--dsn", help="PostgreSQL; default: ledger.dsn of the configuration")
    arguments = parser.parse_args()
    good = LastGood(arguments.config, "loader", arguments.gateway)
    try:
        config = good.begin()
        place = config.gateway_place(arguments.gateway)
    except ConfigError as error:
        parser.exit(2, f"{error}\n")
    dsn = config.ledger.address(arguments.dsn)
    if not dsn:
        sys.exit(f"{arguments.config}: no database: give --dsn, or set ledger.dsn")
    level = logs.configure(place.loader, level=config.log.level)
    try:
        loop.run(
            serve(config, good, place, dsn, level),
            patient=scheduling.worth_it(config.engine_cores(config.beside(place.loader))),
        )
    except SpoolTaken as taken:
        sys.exit(str(taken))
    except ExceptionGroup as group:
        if unknown := group.subgroup(SchemaUnknown):
            sys.exit(str(unknown.exceptions[0]))
        raise


if __name__ == "__main__":
    main()
