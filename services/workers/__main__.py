"""`python -m services.workers --config FILE --worker NAME`: one worker process."""

import argparse
import asyncio
import contextlib
import os
import pathlib
import sys
from collections.abc import Callable

import structlog
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc
from prometheus_client import CollectorRegistry

from services.chassis import logs, loop, metrics, notify, scheduling, secrets, server, tracing
from services.chassis.config import ConfigError
from services.chassis.credentials import Credentials
from services.chassis.reloading import begun
from services.config import identity, mesh
from services.config.last_good import LastGood
from services.config.places import WorkerPlace
from services.config.provider import EchoProvider, GeminiProvider, OpenAIProvider, Provider, VendorProvider
from services.workers import callers, echo, service
from services.workers.execution import Executor
from services.workers.load_metrics import LoadCollector
from services.workers.provider import ProviderContext
from services.workers.spans import AttemptSpans
from services.workers.status import StatusBoard

LOG = structlog.get_logger()


def open_provider(config: Provider, report: Callable[[float], None], registry: CollectorRegistry) -> ProviderContext:
    """The provider that the configuration names.

    `report` hears how far it has come, where it takes long to load; `registry` gets metrics that it has of its own.
    """
    if isinstance(config, EchoProvider):
        return echo.open_provider(config)
    # The engine's environment need not have what vendors' workers run on.
    if isinstance(config, OpenAIProvider):
        from services.workers.openai.provider import open_provider as open_openai

        return open_openai(config)
    if isinstance(config, GeminiProvider):
        from services.workers.gemini.provider import open_provider as open_gemini

        return open_gemini(config)
    # Only this worker's environment has the engine.
    from services.workers.vllm.engine_metrics import EngineCollector
    from services.workers.vllm.provider import open_provider as open_vllm

    registry.register(EngineCollector())
    return open_vllm(config, report)


async def serve(
    config: mesh.MeshConfig, good: LastGood, place: WorkerPlace, credentials: Credentials | None, level: logs.Level
) -> int:
    """Serve until told to stop (0) or until the provider has died (1)."""
    level.follow_signals()
    provider_config = config.providers[place.provider]
    registry = metrics.new_registry()
    begun(registry, config.version, good.refused)
    good.keep()
    board = StatusBoard(place.name, provider_config.kind)
    registry.register(LoadCollector(board))
    executor = Executor(board, registry)
    servicer = service.WorkerServicer(executor, board)
    async with contextlib.AsyncExitStack() as stack:
        notifier = await stack.enter_async_context(notify.open_notifier())
        await stack.enter_async_context(metrics.open_metrics(registry, config.metrics_address(place.name)))
        up = await stack.enter_async_context(
            server.open_server(
                place.listen,
                lambda grpc_server: worker_grpc.add_WorkerServiceServicer_to_server(servicer, grpc_server),
                [service.NAME],
                registry,
                endless=service.ENDLESS,
                credentials=credentials,
                callers=callers.CALLERS,
            )
        )
        stopping = asyncio.create_task(server.stop_requested())

        def report(progress: float) -> None:
            board.loading(progress)
            notifier.loading(progress)

        loading = asyncio.create_task(stack.enter_async_context(open_provider(provider_config, report, registry)))
        await asyncio.wait([stopping, loading], return_when=asyncio.FIRST_COMPLETED)
        if not loading.done():
            # An engine that is being built runs in a thread that nothing can interrupt; its children die with us.
            LOG.info("worker.stopped_while_loading")
            await stack.aclose()
            os._exit(0)
        fill = None
        if provider_config.fetch is not None:
            # Only who fetches needs an HTTP client.
            from services.workers.fetch.fetcher import open_fetcher

            fill = (await stack.enter_async_context(open_fetcher(provider_config.fetch))).filled
        # Not before the provider is loaded: an engine that is forked must not inherit the thread that sends spans.
        tracer = await stack.enter_async_context(
            tracing.open_tracing(config.tracing, role="worker", process=place.name, registry=registry)
        )
        spans = None if tracer is None else AttemptSpans(tracer, worker=place.name, kind=provider_config.kind)
        executor.begin_serving(loading.result(), fill=fill, spans=spans)
        await up.mark_serving()
        notifier.ready()
        LOG.info("worker.serving", models=[model.name for model in loading.result().models])
        died = asyncio.create_task(loading.result().died())
        await asyncio.wait([stopping, died], return_when=asyncio.FIRST_COMPLETED)
        if died.done():
            LOG.error("worker.provider_died", cause=died.result())
            executor.begin_draining(failed=True)
            await up.drain(seconds=1.0)
            return 1
        died.cancel()
        notifier.stopping()
        executor.begin_draining()
        await up.drain(seconds=provider_config.drain_seconds)
        return 0


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m services.workers", description="One worker process.")
    parser.add_argument("--config", type=pathlib.Path, required=True, help="the mesh's configuration")
    parser.add_argument("--worker", required=True, help="this worker's name: <provider>-<index>")
    arguments = parser.parse_args()
    good = LastGood(arguments.config, "worker", arguments.worker)
    try:
        config = good.begin()
    except ConfigError as error:
        parser.exit(2, f"{error}\n")
    places = {place.name: place for place in config.workers()}
    place = places.get(arguments.worker)
    if place is None:
        parser.error(f"no worker {arguments.worker}; there are: {', '.join(places)}")
    provider = config.providers[place.provider]
    keys = provider.api_keys if isinstance(provider, VendorProvider) else ()
    if any(secrets.withheld(key.get_secret_value()) for key in keys):
        parser.exit(2, f"`providers.{place.provider}.api_keys`: {secrets.ADVICE}\n")
    level = logs.configure(place.name, level=config.log.level)
    try:
        credentials = identity.credentials(config, "worker", place.name)
    except ConfigError as error:
        parser.exit(2, f"{error}\n")
    # An engine computes all the time, and waits for nobody's turn to end.
    patient = provider.kind != "vllm" and scheduling.worth_it(config.engine_cores(config.beside(place.name)))
    sys.exit(loop.run(serve(config, good, place, credentials, level), patient=patient))


if __name__ == "__main__":
    main()
