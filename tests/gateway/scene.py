"""A gateway's relay between a scripted router and real workers around scripted providers."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import grpc
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.router.v1 import fleet_pb2 as fleet
from hybridinference.router.v1 import placement_pb2 as placement
from hybridinference.router.v1 import router_service_pb2 as router
from hybridinference.router.v1 import router_service_pb2_grpc as router_grpc
from prometheus_client import CollectorRegistry

from services.chassis import ids
from services.chassis.deadline import Deadline, to_duration
from services.chassis.failure import Failure
from services.config.mesh import MeshConfig
from services.config.places import RouterPlace
from services.gateway.call import Call
from services.gateway.channels import Channels, open_channels
from services.gateway.content.hashing import Hasher
from services.gateway.content.keeping import open_contents
from services.gateway.embedding import Embedding
from services.gateway.fleet import FleetView
from services.gateway.generation import Generation
from services.gateway.identity.grant import ANYBODY, Grant
from services.gateway.placement import Placements
from services.gateway.pricing.book import PriceBook
from services.gateway.quota.estimates import Estimates
from services.gateway.quota.quota import Quota
from services.gateway.quota.quota_metrics import QuotaMetrics
from services.gateway.recorder import Recorder
from services.gateway.relay import Relay
from services.gateway.request_metrics import RequestMetrics
from services.gateway.routers import Routers, open_routers
from services.gateway.session import Sessions, open_sessions
from services.gateway.shadowing import open_shadows
from tests.fakes import Script, ScriptedProvider, running_worker, spec
from tests.gateway.quota.table import Table

MODEL = "scripted"
# Of a request that is to be at its worker when its time is up: if it was not there yet, it is tried with the next one.
DEADLINES = (0.2, 1.0, 5.0)
_FIRST = placement.ATTEMPT_KIND_UNSPECIFIED

CONFIG = MeshConfig.model_validate(
    {"providers": {"p": {"kind": "echo"}}, "models": [{"name": MODEL, "routes": [{"provider": "p"}]}]}
)


class ScriptedRouter(router_grpc.RouterServiceServicer):
    """Places attempts on its workers in turn, each generation on no worker twice; keeps all it is told."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = addresses
        self.silent = False
        self.drop_unsupported = False
        self.hedge_after: float | None = None
        self.refuses_hedges = self.ignores_hedges = False
        self.refuses_continuations = False
        self.providers: dict[int, str] = {}  # of workers that are not of `scripted`
        self.shadow: int | None = None  # the worker that is sent shadows
        self.commands: list[router.PlaceCommand] = []
        self.explained: list[placement.PlacementAsk] = []
        self.explanation = router.ExplainResponse()
        self.refusal: placement.Refusal | None = None
        self._asked: dict[str, str] = {}
        self._placed: dict[str, int] = {}
        self._running: dict[str, set[str]] = {}  # attempts that count, by generation

    def said(self, kind: str) -> list[Any]:
        """Everything of one kind that gateways have said."""
        return [getattr(command, kind) for command in self.commands if command.HasField(kind)]

    async def Place(self, request_iterator: Any, context: Any) -> AsyncIterator[router.PlaceResponse]:
        await context.send_initial_metadata(())
        async for request in request_iterator:
            self.commands.extend(request.commands)
            answers = [self._answer(command) for command in request.commands if not self.silent]
            yield router.PlaceResponse(answers=[answer for answer in answers if answer is not None])

    async def Explain(self, request: router.ExplainRequest, context: Any) -> router.ExplainResponse:
        self.explained.append(request.ask)
        return self.explanation

    async def WatchFleet(self, request: Any, context: Any) -> AsyncIterator[router.WatchFleetResponse]:
        route = fleet.FleetRoute(model=MODEL, provider_model=MODEL)
        yield router.WatchFleetResponse(
            workers=[
                fleet.FleetWorker(
                    worker=f"w{index}", address=address, health=fleet.WORKER_HEALTH_HEALTHY, routes=[route]
                )
                for index, address in enumerate(self.addresses)
            ]
        )
        await asyncio.get_running_loop().create_future()

    def _answer(self, command: router.PlaceCommand) -> router.PlaceAnswer | None:
        if command.HasField("ask") and self.refusal is not None:
            self.refusal.generation_id = command.ask.generation_id
            return router.PlaceAnswer(refusal=self.refusal)
        if command.HasField("ask"):
            return self._place(command.ask.generation_id)
        if command.HasField("hedge"):
            if self.ignores_hedges:
                return None
            slow = command.hedge.attempt_id
            if not self.refuses_hedges:
                return self._place(self._asked[slow], placement.ATTEMPT_KIND_HEDGE)
            left = placement.Refusal(generation_id=self._asked[slow], attempt_id=slow)
            return router.PlaceAnswer(refusal=left)
        if command.HasField("outcome"):
            return self._follow(command.outcome)
        return None

    def _follow(self, outcome: placement.AttemptOutcome) -> router.PlaceAnswer | None:
        generation_id = self._asked[outcome.attempt_id]
        running = self._running[generation_id]
        running.discard(outcome.attempt_id)
        if not outcome.wanted or running:
            return None
        assert outcome.continuable or not outcome.committed
        refused = outcome.committed and self.refuses_continuations
        if self._placed[generation_id] < len(self.addresses) and not refused:
            kind = placement.ATTEMPT_KIND_CONTINUATION if outcome.committed else placement.ATTEMPT_KIND_RETRY
            return self._place(generation_id, kind)
        refusal = placement.Refusal(generation_id=generation_id, status=outcome.status)
        return router.PlaceAnswer(refusal=refusal)

    def _place(self, generation_id: str, kind: placement.AttemptKind = _FIRST) -> router.PlaceAnswer:
        number = self._placed.get(generation_id, 0)
        self._placed[generation_id] = number + 1
        placed = self._placement(generation_id, number, kind)
        self._running.setdefault(generation_id, set()).add(placed.attempt_id)
        if kind == _FIRST and self.hedge_after is not None:
            placed.hedge_after.CopyFrom(to_duration(self.hedge_after))
        if kind == _FIRST and self.shadow is not None:
            shadow = self._placement(generation_id, self.shadow, placement.ATTEMPT_KIND_SHADOW)
            placed.shadow.CopyFrom(shadow)
        return router.PlaceAnswer(placement=placed)

    def _placement(self, generation_id: str, worker: int, kind: placement.AttemptKind) -> placement.Placement:
        attempt_id = ids.new_id()
        self._asked[attempt_id] = generation_id
        return placement.Placement(
            generation_id=generation_id,
            attempt_id=attempt_id,
            number=worker + 1,
            worker=f"w{worker}",
            address=self.addresses[worker],
            provider=self.providers.get(worker, "scripted"),
            provider_model=MODEL,
            strategy="scripted",
            drop_unsupported=self.drop_unsupported,
            kind=kind,
        )


class Kept:
    """An open request that keeps what it is told where a test can read it."""

    def __init__(self, request: ledger.RequestRecord) -> None:
        self.requests = [_copy(request)]
        self.attempts: list[ledger.AttemptRecord] = []

    def placed(self, request: ledger.RequestRecord, attempt: ledger.AttemptRecord) -> None:
        self.requests.append(_copy(request))
        self.tell(attempt)

    def tell(self, attempt: ledger.AttemptRecord) -> None:
        copy = ledger.AttemptRecord()
        copy.CopyFrom(attempt)
        self.attempts.append(copy)


def _copy(request: ledger.RequestRecord) -> ledger.RequestRecord:
    copy = ledger.RequestRecord()
    copy.CopyFrom(request)
    return copy


class Book:
    """A spool that keeps its records where a test can read them."""

    def __init__(self) -> None:
        self.records: list[ledger.LedgerRecord] = []
        self.contents: list[ledger.ContentRecord] = []
        self.prices: list[ledger.PriceTable] = []
        self.full: Failure | None = None
        self.unwritable: Failure | None = None
        self.opened_requests: list[Kept] = []
        self.flushes = 0

    def check(self, *, strict: bool) -> None:
        if self.full is not None:
            raise self.full

    def opened(self, request: ledger.RequestRecord) -> Kept:
        self.opened_requests.append(Kept(request))
        return self.opened_requests[-1]

    def append(self, record: ledger.LedgerRecord, *, ends: Kept | None = None) -> None:
        self.records.append(record)

    def append_prices(self, table: ledger.PriceTable) -> None:
        self.prices.append(table)

    def append_content(self, content: ledger.ContentRecord, *, strict: bool) -> bool:
        self.contents.append(content)
        return True

    async def flushed(self) -> None:
        self.flushes += 1
        if self.unwritable is not None:
            raise self.unwritable


class Scene:
    """Everything that a test of the relay looks at."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.router_address = f"unix:{directory}/r.sock"
        self.providers: list[ScriptedProvider] = []
        self.servers: list[contextlib.AsyncExitStack] = []
        self.book = Book()
        self.router: ScriptedRouter
        self.routers: Routers
        self.relay: Relay
        self.quota: Quota
        self.recorder: Recorder
        self.registry: CollectorRegistry
        self.placements: Placements
        self.sessions: Sessions
        self.channels: Channels
        self.fleet: FleetView
        self._router_server: grpc.aio.Server | None = None

    @property
    def request(self) -> ledger.RequestRecord:
        """The only request's record."""
        assert len(self.book.records) == 1, f"{len(self.book.records)} records"
        return self.book.records[0].request

    @property
    def attempts(self) -> Sequence[ledger.AttemptRecord]:
        """The only request's attempts."""
        assert len(self.book.records) == 1
        return self.book.records[0].attempts

    async def begin(self, script: str, *, seconds: float | None = None, grant: Grant = ANYBODY) -> Generation:
        """Begin a generation that is to run `script` wherever it is placed."""
        deadline = Deadline.after(seconds, now=asyncio.get_running_loop().time())
        call = Call(spec=spec(script), api="inference", streamed=True, deadline=deadline, tenant="t", grant=grant)
        return await self.relay.begin(call)

    async def run(self, script: str, *, seconds: float | None = None, grant: Grant = ANYBODY) -> str:
        """Run a generation to its end; its text."""
        text = ""
        async with contextlib.aclosing((await self.begin(script, seconds=seconds, grant=grant)).events()) as batches:
            async for events in batches:
                text += text_of(events)
        return text

    async def embed(
        self, script: str = "", *inputs: str, seconds: float | None = None, grant: Grant = ANYBODY
    ) -> Embedding:
        """Begin an embedding that is to run `script` wherever it is placed."""
        made = embedding.EmbeddingSpec(model=MODEL, user=script)
        made.inputs.extend(embedding.EmbeddingInput(text=text) for text in inputs or ("hello",))
        deadline = Deadline.after(seconds, now=asyncio.get_running_loop().time())
        return await self.relay.embed(
            Call(spec=made, api="inference", streamed=False, deadline=deadline, tenant="t", grant=grant)
        )

    async def start_router(self) -> None:
        """Start a router, or start it again."""
        self._router_server = grpc.aio.server()
        router_grpc.add_RouterServiceServicer_to_server(self.router, self._router_server)
        self._router_server.add_insecure_port(self.router_address)
        await self._router_server.start()

    async def stop_router(self) -> None:
        """Stop the router at once."""
        assert self._router_server is not None
        await self._router_server.stop(None)

    async def stop_worker(self, index: int) -> None:
        """Stop a worker at once, as if it had been killed."""
        await self.servers[index].aclose()

    async def start_worker(self, index: int) -> None:
        """Start a worker that was stopped."""
        address = f"unix:{self.directory}/w{index}.sock"
        await self.servers[index].enter_async_context(running_worker(address, self.providers[index]))


def text_of(events: Sequence[generation.GenerationEvent]) -> str:
    """The text in some events."""
    return "".join(event.delta.text for event in events)


@contextlib.asynccontextmanager
async def scene(
    directory: pathlib.Path,
    *workers: Mapping[str, Script],
    max_running: int = 100,
    max_shadows: int = 2,
    show_worker: bool = False,
    leases: Table | None = None,
    config: MeshConfig = CONFIG,
) -> AsyncIterator[Scene]:
    """A scene with one worker for each mapping of scripts; `config` has the prices, `leases` the limits of keys."""
    made = Scene(directory)
    async with contextlib.AsyncExitStack() as stack:
        addresses = []
        for index, scripts in enumerate(workers):
            provider = ScriptedProvider(scripts)
            address = f"unix:{directory}/w{index}.sock"
            server = await stack.enter_async_context(contextlib.AsyncExitStack())
            await server.enter_async_context(running_worker(address, provider))
            made.providers.append(provider)
            made.servers.append(server)
            addresses.append(address)
        made.router = ScriptedRouter(addresses)
        await made.start_router()
        stack.push_async_callback(made.stop_router)
        registry = CollectorRegistry()
        place = RouterPlace("router", made.router_address)
        made.routers = await stack.enter_async_context(open_routers([place], registry))
        made.fleet = FleetView(made.routers, "gateway")
        made.placements = Placements(made.routers, made.fleet, registry, gateway="g")
        made.placements.patience_seconds = 30.0  # a router that is only slow is not taken for one that hangs
        made.sessions = await stack.enter_async_context(open_sessions(idle_seconds=60, slow_reader_seconds=60))
        made.channels = await stack.enter_async_context(open_channels())
        made.registry = registry
        contents = await stack.enter_async_context(open_contents(made.book, Hasher(b"k" * 32), registry))
        made.recorder = Recorder(
            made.book,  # type: ignore[arg-type]
            RequestMetrics(registry),
            contents,
            run=ids.new_id(),
            config_version="v",
            models={MODEL: MODEL},
            book=PriceBook(config),
        )
        shadows = await stack.enter_async_context(
            open_shadows(made.placements, made.sessions, made.recorder, most=max_shadows)
        )
        reserving = await stack.enter_async_context(asyncio.TaskGroup())
        made.quota = Quota((leases or Table()).gateway(), QuotaMetrics(registry), reserving, gateways=1)
        made.relay = Relay(
            made.placements,
            made.sessions,
            made.channels,
            shadows,
            made.recorder,
            made.quota,
            max_running=max_running,
            show_worker=show_worker,
            estimates=Estimates(config, PriceBook(config)),
        )
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        following = [tasks.create_task(made.fleet.follow()), tasks.create_task(made.placements.follow())]
        try:
            async with asyncio.timeout(30):
                await made.placements.connected.wait()
            yield made
        finally:
            for task in following:
                task.cancel()
