"""What a gateway is made of, from its spool's records to its faces. Nothing of it listens, or follows anybody, yet."""

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import AsyncIterator, Callable, Sequence

from prometheus_client import CollectorRegistry

from services.chassis import ids, logs
from services.chassis.credentials import Credentials
from services.chassis.spans import Tracer
from services.config.last_good import LastGood
from services.config.mesh import MeshConfig
from services.config.places import GatewayPlace, RouterPlace
from services.gateway import inference
from services.gateway.adoption import Adoption
from services.gateway.channels import open_channels
from services.gateway.content.hashing import Hasher
from services.gateway.content.keeping import open_contents
from services.gateway.database import DATABASE_UP, open_database
from services.gateway.explainer import Explainer
from services.gateway.fleet import FleetView
from services.gateway.idempotency.interceptor import IdempotencyInterceptor, open_idempotency
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
from services.gateway.routers import Routers, open_routers
from services.gateway.session import open_sessions
from services.gateway.shadowing import open_shadows
from services.gateway.spans import Spans
from services.gateway.spool.spool import Spool
from services.gateway.tenant import Tenants


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a gateway is given at its start.

    Attributes:
        config: what the file at `path` says, or what was taken last of it.
        path: the configuration's file, which is read again.
        good: reads it, and keeps what was taken.
        place: which gateway it is.
        tenants: makes the marks of callers.
        peppers: those of the keys; None: there are no keys, and whoever calls is anybody.
        dsn: PostgreSQL's; may be empty without keys.
        credentials: what proves it to other processes.
        level: of its log.
    """

    config: MeshConfig
    path: pathlib.Path
    good: LastGood
    place: GatewayPlace
    tenants: Tenants
    peppers: Peppers | None
    dsn: str
    credentials: Credentials | None
    level: logs.Level


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """What is served, followed and told of news.

    Attributes:
        adoption: has everything go by another configuration.
        interrupts: end what is under way, and tell its callers, where a stop has waited for long enough.
    """

    routers: Routers
    fleet: FleetView
    placements: Placements
    keyring: Keyring | None
    idempotency: IdempotencyInterceptor
    typed_face: inference.InferenceServicer
    openai_face: openai.OpenAIServicer
    overview: overview.OverviewServicer
    adoption: Adoption
    interrupts: Sequence[Callable[[], None]]


@contextlib.asynccontextmanager
async def assembled(
    given: Given, spool: Spool, tracer: Tracer | None, registry: CollectorRegistry
) -> AsyncIterator[Assembly]:
    """All of it, until the context ends.

    Raises:
        SchemaUnknown: the database's tables are not those that this release knows.
    """
    config, place, credentials = given.config, given.place, given.credentials
    settings, run = config.gateway, ids.new_id()
    async with contextlib.AsyncExitStack() as stack:
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
        contents = await stack.enter_async_context(open_contents(spool, Hasher(given.tenants.key), registry))
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
                given.dsn,
                given.peppers,
                registry,
                name=f"hybrid-{place.name}-keys",
                most=config.access.cached_keys,
                ceilings=config.admin.ceilings(),
            )
        )
        quota = await stack.enter_async_context(_limits(given, run, spool, keyring, registry))
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
            given.tenants,
            longest_seconds=settings.timeout_seconds,
            allow_pinning=settings.allow_pinning,
            trace_share=config.trace_share,
        )
        openai_face = openai.OpenAIServicer(
            relay,
            explainer,
            models,
            given.tenants,
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
            level=given.level,
            overview=overview_servicer,
        )
        yield Assembly(
            routers=routers,
            fleet=fleet,
            placements=placements,
            keyring=keyring,
            idempotency=idempotency,
            typed_face=typed_face,
            openai_face=openai_face,
            overview=overview_servicer,
            adoption=adoption,
            interrupts=(sessions.interrupt, channels.interrupt, placements.interrupt),
        )


def _preferred(config: MeshConfig, place: GatewayPlace) -> Sequence[RouterPlace]:
    """All routers, in the order in which that gateway prefers them."""
    routers = {router.name: router for router in config.routers()}
    number = [each.name for each in config.gateways()].index(place.name)
    return [routers[name] for name in preference(tuple(routers), number, config.beside(place.name))]


@contextlib.asynccontextmanager
async def _limits(
    given: Given, run: str, spool: Spool, keyring: Keyring | None, registry: CollectorRegistry
) -> AsyncIterator[Quota]:
    """Raises SchemaUnknown. Without keys nothing is asked of the database, and it may even be none."""
    config, place = given.config, given.place
    keyless = config.access.keyless
    async with open_database(given.dsn, name=f"hybrid-{place.name}") as database:
        if not keyless:
            await database.require_schema()
        async with open_quota(
            database,
            registry,
            run=run,
            gateway=place.name,
            gateways=len(config.gateways()),
            spool=spool,
            directory=pathlib.Path(place.spool),
            keyless=keyless,
        ) as quota:
            if keyring is not None:
                up = DATABASE_UP.on(registry)
                up.labels("keys").set_function(lambda: not keyring.away)
                up.labels("limits").set_function(lambda: not quota.away)
            yield quota
