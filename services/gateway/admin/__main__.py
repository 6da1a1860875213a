"""`python -m services.gateway.admin --config FILE [--dsn DSN]`: the admin process."""

import argparse
import asyncio
import contextlib
import datetime
import functools
import pathlib
import sys

import structlog
from hybridinference.gateway.v1 import admin_service_pb2_grpc

from services.chassis import logs, loop, metrics, notify, scheduling, server
from services.chassis.config import ConfigError
from services.chassis.credentials import Credentials
from services.chassis.reloading import Reloading
from services.config import fixed, identity, mesh
from services.config.flags import Flags
from services.config.last_good import LastGood
from services.gateway.admin import callers, drains, flags, rights
from services.gateway.admin.drains import Drain
from services.gateway.admin.flags import Noting, Saying
from services.gateway.admin.guard import Guard
from services.gateway.admin.keys import Known
from services.gateway.admin.operators import Operators
from services.gateway.admin.servicer import AdminServicer
from services.gateway.admin.store import Store
from services.gateway.admin.telling import open_telling
from services.gateway.database import DATABASE_UP, open_database
from services.gateway.identity.peppers import Peppers
from services.gateway.schema import SchemaUnknown

LOG = structlog.get_logger()

NAME = "admin"

# A change in the database takes no longer: see services/gateway/database.py.
_DRAIN_SECONDS = 10.0


async def serve(
    config: mesh.MeshConfig,
    path: pathlib.Path,
    good: LastGood,
    dsn: str,
    operators: Operators,
    peppers: Peppers,
    credentials: Credentials | None,
    level: logs.Level,
) -> None:
    """Serve until told to stop, by what the file at `path` says from time to time."""
    level.follow_signals()
    registry = metrics.new_registry()
    async with contextlib.AsyncExitStack() as stack:
        notifier = await stack.enter_async_context(notify.open_notifier())
        await stack.enter_async_context(metrics.open_metrics(registry, config.metrics_address(NAME)))
        database = await stack.enter_async_context(open_database(dsn, name="hybrid-admin"))
        DATABASE_UP.on(registry).labels("admin").set_function(lambda: not database.away)
        await database.require_schema()
        store = Store(database, peppers)
        guard = Guard(operators, store.refused, registry)

        async def drained() -> list[Drain]:
            return [drains.of_row(row) for row in await store.drains()]

        telling = await stack.enter_async_context(open_telling(drained, config.routers(), credentials))
        servicer = AdminServicer(
            store,
            _known(config),
            drains.known(config),
            telling,
            clock=functools.partial(datetime.datetime.now, datetime.UTC),
        )
        servicer.flags = flags.plain(config.flags)

        async def note(said: Saying) -> None:
            await store.note_flags(said, flags.plain(Flags()))

        noting = Noting(note, flags.saying(config, path))

        def adopt(wanted: mesh.MeshConfig) -> None:
            fixed.require_same(config, wanted, source=str(path))
            guard.operators = _operators(wanted)
            servicer.known = _known(wanted)
            level.reconfigure(level=wanted.log.level)
            servicer.drainable = drains.known(wanted)
            servicer.flags = flags.plain(wanted.flags)
            noting.say(flags.saying(wanted, path))

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
        up = await stack.enter_async_context(
            server.open_server(
                config.admin.listen,
                lambda grpc_server: admin_service_pb2_grpc.add_AdminServiceServicer_to_server(servicer, grpc_server),
                [rights.NAME],
                registry,
                interceptors=[guard],
                credentials=credentials,
                callers=callers.CALLERS,
            )
        )
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        following = tasks.create_task(reloading.follow())
        writing = tasks.create_task(noting.follow())
        await up.mark_serving()
        LOG.info("admin.serving", operators=[each.name for each in config.admin.operators])
        await server.stop_requested(notifier)
        await up.drain(seconds=_DRAIN_SECONDS)
        following.cancel()
        writing.cancel()


def _known(config: mesh.MeshConfig) -> Known:
    return Known(config.names(), frozenset(config.providers))


def _operators(config: mesh.MeshConfig) -> Operators:
    """Raises ConfigError where a credential cannot be used."""
    try:
        return Operators.of_files(config.admin.operators)
    except (OSError, ValueError) as error:
        raise ConfigError([f"the credential of an operator cannot be used: {error}"]) from error


def _version(config: mesh.MeshConfig) -> str:
    return config.version


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m services.gateway.admin", description="The admin process.")
    parser.add_argument("--config", type=pathlib.Path, required=True, help="the mesh's configuration")
    parser.add_argument("--dsn", help="PostgreSQL; default: ledger.dsn of the configuration")
    arguments = parser.parse_args()
    good = LastGood(arguments.config, "admin", NAME)
    try:
        config = good.begin()
    except ConfigError as error:
        parser.exit(2, f"{error}\n")
    try:
        operators = _operators(config)
        credentials = identity.credentials(config, "admin", NAME)
        peppers = Peppers.of_file(pathlib.Path(config.access.pepper))
    except ConfigError as error:
        sys.exit(str(error))
    except (OSError, ValueError) as error:
        sys.exit(f"the pepper of the keys cannot be used: {error}")
    dsn = config.ledger.address(arguments.dsn)
    if not dsn:
        sys.exit(f"{arguments.config}: no database: give --dsn, or set ledger.dsn")
    level = logs.configure(NAME, level=config.log.level)
    try:
        patient = scheduling.worth_it(config.engine_cores(config.beside("admin")))
        loop.run(serve(config, arguments.config, good, dsn, operators, peppers, credentials, level), patient=patient)
    except SchemaUnknown as unknown:
        sys.exit(str(unknown))


if __name__ == "__main__":
    main()
