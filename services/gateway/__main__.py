"""`python -m services.gateway --config FILE`: the gateway process."""

import argparse
import asyncio
import contextlib
import pathlib
import time

import grpc
import structlog
import uvloop
from hybridinference.gateway.v1 import inference_service_pb2_grpc as gateway_grpc
from hybridinference.gateway.v1 import openai_service_pb2_grpc as openai_grpc
from hybridinference.router.v1 import router_service_pb2_grpc as router_grpc

from services.chassis import channel, ids, logs, metrics, server
from services.config import mesh
from services.gateway import inference
from services.gateway.channels import open_channels
from services.gateway.fleet import FleetView
from services.gateway.models import Models
from services.gateway.openai import face as openai
from services.gateway.placement import Placements
from services.gateway.recorder import Recorder
from services.gateway.relay import Relay
from services.gateway.request_metrics import RequestMetrics
from services.gateway.session import open_sessions
from services.gateway.spool.spool import open_spool
from services.gateway.tenant import Tenants

LOG = structlog.get_logger()

# Long enough for a router that starts beside us; without one the gateway serves alone.
_ROUTER_SECONDS = 2.0
# How long telling those may take whose answers a stop interrupts.
_FAREWELL_SECONDS = 1.0


async def serve(config: mesh.MeshConfig) -> None:
    """Serve until told to stop."""
    settings = config.gateway
    registry = metrics.new_registry()
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(metrics.serving_metrics(registry, config.metrics_address("gateway")))
        spool = await stack.enter_async_context(open_spool(pathlib.Path(settings.spool), registry=registry))
        router = router_grpc.RouterServiceStub(
            await stack.enter_async_context(channel.open_channel(config.router.listen))
        )
        fleet = FleetView(router)
        placements = Placements(router, fleet, registry, gateway=ids.new_id())
        sessions = await stack.enter_async_context(
            open_sessions(idle_seconds=settings.idle_seconds, slow_reader_seconds=settings.slow_reader_seconds)
        )
        channels = await stack.enter_async_context(open_channels())
        recorder = Recorder(
            spool,
            RequestMetrics(registry),
            config_version=config.version,
            models=frozenset(model.name for model in config.models),
        )
        relay = Relay(
            placements,
            sessions,
            channels,
            recorder,
            max_running=settings.max_running,
            show_worker=settings.show_worker,
        )
        models = Models(config, fleet, created_seconds=int(time.time()))
        tenants, longest = Tenants.random(), settings.timeout_seconds
        typed_face = inference.InferenceServicer(relay, models, tenants, longest_seconds=longest)
        openai_face = openai.OpenAIServicer(
            relay, models, tenants, longest_seconds=longest, keep_alive_seconds=settings.keep_alive_seconds
        )

        def add(grpc_server: grpc.aio.Server) -> None:
            gateway_grpc.add_InferenceServiceServicer_to_server(typed_face, grpc_server)
            openai_grpc.add_OpenAIServiceServicer_to_server(openai_face, grpc_server)

        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        following = [tasks.create_task(fleet.follow()), tasks.create_task(placements.follow())]
        up = await stack.enter_async_context(
            server.open_server(settings.listen, add, [inference.NAME, openai.NAME], registry)
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ROUTER_SECONDS):
                await placements.connected.wait()
        await up.mark_serving()
        LOG.info("gateway.serving", config_version=config.version)
        await server.stop_requested()
        # An answer that the server cut would end like a whole one, at a client behind the edge: have it told first.
        later = asyncio.get_running_loop().call_later
        farewells = [later(settings.drain_seconds, told.interrupt) for told in (sessions, channels)]
        await up.drain(seconds=settings.drain_seconds + _FAREWELL_SECONDS)
        for farewell in farewells:
            farewell.cancel()
        for task in following:
            task.cancel()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m services.gateway", description="The gateway process.")
    parser.add_argument("--config", type=pathlib.Path, required=True, help="the mesh's configuration")
    config = mesh.load(parser.parse_args().config)
    logs.configure("gateway", level=config.log.level)
    uvloop.run(serve(config))


if __name__ == "__main__":
    main()
