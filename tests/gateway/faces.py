"""All services of a gateway over a scene, with clients of their own."""

import contextlib
import pathlib
from collections.abc import AsyncIterator, Mapping

import grpc
from hybridinference.gateway.v1 import inference_service_pb2_grpc as gateway_grpc
from hybridinference.gateway.v1 import openai_service_pb2_grpc as openai_grpc
from hybridinference.gateway.v1 import overview_service_pb2_grpc as overview_grpc
from prometheus_client import CollectorRegistry

from services.chassis.channel import open_channel
from services.chassis.server import open_server
from services.config.mesh import MeshConfig
from services.gateway import inference
from services.gateway.explainer import Explainer
from services.gateway.identity.interceptor import IdentityInterceptor
from services.gateway.identity.keyring import Keyring
from services.gateway.models import Models
from services.gateway.openai import face as openai
from services.gateway.overview import service as overview
from services.gateway.pricing.book import PriceBook
from services.gateway.tenant import Tenants
from tests.fakes import Script
from tests.gateway.scene import MODEL, Scene, scene

TENANTS = Tenants(b"key")
CONFIG = MeshConfig.model_validate(
    {
        "providers": {"scripted": {"kind": "echo", "models": [MODEL]}},
        "models": [{"name": name, "routes": [{"provider": "scripted"}]} for name in (MODEL, "b", "a/b:c")],
    }
)


class Faces:
    """The stubs that a client has, and the scene behind them."""

    def __init__(self, behind: Scene, channel: grpc.aio.Channel, registry: CollectorRegistry) -> None:
        self.scene = behind
        self.registry = registry
        self.inference = gateway_grpc.InferenceServiceStub(channel)
        self.openai = openai_grpc.OpenAIServiceStub(channel)
        self.overview = overview_grpc.OverviewServiceStub(channel)


@contextlib.asynccontextmanager
async def faces(
    directory: pathlib.Path,
    *workers: Mapping[str, Script],
    keep_alive_seconds: float = 0,
    show_worker: bool = False,
    allow_pinning: bool = False,
    keyring: Keyring | None = None,
    config: MeshConfig = CONFIG,
) -> AsyncIterator[Faces]:
    """Both faces in front of one worker for each mapping of scripts; without a keyring, for anybody.

    `config` has the prices.
    """
    async with scene(directory, *workers, show_worker=show_worker, config=config) as behind:
        explainer = Explainer(behind.routers, behind.relay)
        models = Models(CONFIG, behind.fleet, created_seconds=1)

        def add(server: grpc.aio.Server) -> None:
            typed = inference.InferenceServicer(
                behind.relay, explainer, models, TENANTS, longest_seconds=60, allow_pinning=allow_pinning
            )
            gateway_grpc.add_InferenceServiceServicer_to_server(typed, server)
            compatible = openai.OpenAIServicer(
                behind.relay,
                explainer,
                models,
                TENANTS,
                longest_seconds=60,
                keep_alive_seconds=keep_alive_seconds,
                allow_pinning=allow_pinning,
            )
            openai_grpc.add_OpenAIServiceServicer_to_server(compatible, server)
            glance = overview.OverviewServicer(
                CONFIG,
                PriceBook(CONFIG),
                behind.fleet,
                models,
                behind.recorder.recent,
                behind.relay,
                gateway="gateway",
                router=lambda: "router" if behind.placements.connected.is_set() else "",
            )
            overview_grpc.add_OverviewServiceServicer_to_server(glance, server)

        address = f"unix:{directory}/g.sock"
        registry = CollectorRegistry()
        identity = IdentityInterceptor(keyring, registry)
        names = [inference.NAME, openai.NAME, overview.NAME]
        async with (
            open_server(address, add, names, registry, interceptors=[identity]),
            open_channel(address) as channel,
        ):
            yield Faces(behind, channel, registry)
