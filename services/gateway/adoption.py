"""What a gateway takes up of another configuration while it runs."""

import dataclasses

from services.chassis.logs import Level
from services.config.mesh import MeshConfig
from services.gateway.idempotency.interceptor import IdempotencyInterceptor
from services.gateway.identity.keyring import Keyring
from services.gateway.inference import InferenceServicer
from services.gateway.models import Models
from services.gateway.openai.face import OpenAIServicer
from services.gateway.overview.service import OverviewServicer
from services.gateway.placement import Placements
from services.gateway.pricing.book import PriceBook
from services.gateway.quota.estimates import Estimates
from services.gateway.quota.quota import Quota
from services.gateway.recorder import Recorder
from services.gateway.relay import Relay
from services.gateway.session import Sessions


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """Everything in a gateway that goes by the configuration."""

    idempotency: IdempotencyInterceptor
    keyring: Keyring | None
    placements: Placements
    models: Models
    quota: Quota
    recorder: Recorder
    relay: Relay
    sessions: Sessions
    typed_face: InferenceServicer
    openai_face: OpenAIServicer
    level: Level
    overview: OverviewServicer

    def take(self, config: MeshConfig) -> None:
        """Go by another configuration from now on, all in one step. What is under way goes on as it began."""
        limits = config.gateway
        book = PriceBook(config)
        if self.keyring is not None:
            self.keyring.reconfigure(most=config.access.cached_keys, ceilings=config.admin.ceilings())
        self.idempotency.reconfigure(config)
        self.placements.reconfigure(waiting_bytes=limits.waiting_bytes)
        self.models.reconfigure(config)
        self.quota.reconfigure(gateways=len(config.gateways()))
        self.recorder.reconfigure(config_version=config.version, models=config.names(), book=book)
        self.relay.reconfigure(
            max_running=limits.max_running,
            max_shadows=limits.max_shadows,
            show_worker=limits.show_worker,
            estimates=Estimates(config, book),
        )
        self.overview.reconfigure(config, book)
        self.sessions.reconfigure(idle_seconds=limits.idle_seconds, slow_reader_seconds=limits.slow_reader_seconds)
        self.typed_face.reconfigure(longest_seconds=limits.timeout_seconds, allow_pinning=limits.allow_pinning)
        self.openai_face.reconfigure(
            longest_seconds=limits.timeout_seconds,
            keep_alive_seconds=limits.keep_alive_seconds,
            allow_pinning=limits.allow_pinning,
        )
        self.level.reconfigure(level=config.log.level)
