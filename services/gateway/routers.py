"""The routers: a gateway keeps to one at a time, for all that it asks and follows."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hybridinference.router.v1 import router_service_pb2_grpc as router_grpc
from prometheus_client import CollectorRegistry

from services.chassis import declared
from services.chassis.channel import open_channel
from services.chassis.credentials import Credentials
from services.config.places import RouterPlace
from services.gateway.router_choice import RouterChoice

LOG = structlog.get_logger()

KEPT = declared.Gauge(
    "hybrid_gateway_router_kept",
    "1 for the router that the gateway keeps to.",
    [declared.Label("router", "a router's name")],
)
MOVES = declared.Counter(
    "hybrid_gateway_router_moves_total",
    "How often the gateway went to another router, other than to see whether one is back.",
)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Router:
    """One router. `number` is its place in the order of preference."""

    number: int
    name: str
    stub: "router_grpc.RouterServiceAsyncStub"
    health: Any  # its type has no awaitable Check


class Routers:
    """All routers, the preferred first. Whoever uses one does so within `keeping`, and says when it was lost."""

    def __init__(self, routers: Sequence[Router], registry: CollectorRegistry) -> None:
        self._routers = routers
        self._choice = RouterChoice(len(routers))
        self._scopes: set[asyncio.Timeout] = set()
        # How often each of several is asked how it is, and how long it may take to say so.
        self.check_seconds = 1.0
        self.patience_seconds = 2.0
        self._kept = KEPT.on(registry)
        self._moves = MOVES.on(registry)
        self._show()

    def __len__(self) -> int:
        return len(self._routers)

    @property
    def current(self) -> Router:
        """The router that the gateway keeps to."""
        return self._routers[self._choice.current]

    @property
    def alone(self) -> bool:
        """Whether there is nobody to turn to, as far as is known."""
        return self._choice.alone

    @contextlib.asynccontextmanager
    async def keeping(self) -> AsyncIterator[Router]:
        """The current router, for as long as it is that: what is done within is cut off when another one is."""
        scope = asyncio.timeout(None)
        self._scopes.add(scope)
        try:
            async with scope:
                yield self.current
        except TimeoutError:
            if not scope.expired():
                raise
        finally:
            self._scopes.discard(scope)

    def well(self, router: Router) -> None:
        """It answers."""
        self._choice.on_well(router.number, _now())

    def lost(self, router: Router) -> None:
        """It cannot be reached, or is silent."""
        with self._moving():
            self._choice.on_lost(router.number, _now())

    async def follow(self) -> None:
        """Ask several routers how they are, for ever; one alone shows that by itself."""
        if len(self._routers) == 1:
            return
        async with asyncio.TaskGroup() as tasks:
            for router in self._routers:
                tasks.create_task(self._check(router))

    async def _check(self, router: Router) -> None:
        while True:
            if await _serves(router, self.patience_seconds):
                self.well(router)
                with self._moving():
                    self._choice.look(_now())
            else:
                self.lost(router)
            await asyncio.sleep(self.check_seconds)

    @contextlib.contextmanager
    def _moving(self) -> Iterator[None]:
        """What happens may make another router the current one: have everybody follow."""
        before = self.current
        yield
        after = self.current
        if after is before:
            return
        if self.alone:  # none is there: each is tried in its turn, many times a second
            LOG.debug("router.tried", router=after.name, before=before.name)
        else:
            LOG.info("router.changed", router=after.name, before=before.name)
            self._moves.inc()
        self._show()
        for scope in self._scopes:
            if not scope.expired():
                scope.reschedule(_now())

    def _show(self) -> None:
        for router in self._routers:
            self._kept.labels(router.name).set(router is self.current)


async def _serves(router: Router, seconds: float) -> bool:
    """Whether it says within so many seconds that it takes work."""
    call = router.health.Check(health_pb2.HealthCheckRequest())
    try:
        async with asyncio.timeout(seconds):
            said = await call
    except (grpc.aio.AioRpcError, TimeoutError):
        return False
    finally:
        call.cancel()
    return bool(said.status == health_pb2.HealthCheckResponse.SERVING)


def _now() -> float:
    return asyncio.get_running_loop().time()


@contextlib.asynccontextmanager
async def open_routers(
    places: Sequence[RouterPlace], registry: CollectorRegistry, credentials: Credentials | None = None
) -> AsyncIterator[Routers]:
    """The routers at those places, the preferred first, each over a channel of its own."""
    async with contextlib.AsyncExitStack() as stack:
        routers = []
        for number, place in enumerate(places):
            channel = await stack.enter_async_context(open_channel(place.address, "router", credentials))
            stub, health = router_grpc.RouterServiceStub(channel), health_pb2_grpc.HealthStub(channel)
            routers.append(Router(number, place.name, stub, health))
        yield Routers(routers, registry)
