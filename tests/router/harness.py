"""A real router over unix sockets, with workers whose reports are scripted."""

import asyncio
import contextlib
import pathlib
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc
import pytest
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.router.v1 import fleet_pb2 as fleet
from hybridinference.router.v1 import placement_pb2 as placement
from hybridinference.router.v1 import router_service_pb2 as router_service
from hybridinference.router.v1 import router_service_pb2_grpc as router_grpc
from hybridinference.worker.v1 import worker_service_pb2 as worker_service
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from services.chassis import ids, metrics, server
from services.chassis.channel import open_channel
from services.config.mesh import MeshConfig
from services.router import service
from services.router.decider import Decider
from services.router.fleet import Fleet
from services.router.roster import Roster
from services.router.telemetry import Telemetry
from tests.fakes import eventually
from tests.loop_clock import loop_clock
from tests.router.scene import CHAT, report

_PATIENCE = 30.0


class ScriptedWorker(worker_grpc.WorkerServiceServicer):
    """Reports what it is told to report, and does nothing else."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.watchers: list[asyncio.Queue[worker_status.WorkerStatus | None]] = []
        self.status = report()
        self.mute = False
        self.refuses: grpc.StatusCode | None = None
        self._asked = asyncio.Semaphore(0)
        self._server: grpc.aio.Server | None = None

    async def WatchStatus(
        self, request: worker_service.WatchStatusRequest, context: Any
    ) -> AsyncIterator[worker_service.WatchStatusResponse]:
        self._asked.release()
        if self.refuses is not None:
            await context.abort(self.refuses, "This worker does not report.")
        queue: asyncio.Queue[worker_status.WorkerStatus | None] = asyncio.Queue()
        if not self.mute:
            queue.put_nowait(self.status)
        self.watchers.append(queue)
        while (status := await queue.get()) is not None:
            yield worker_service.WatchStatusResponse(status=status)

    def say(self, status: worker_status.WorkerStatus) -> None:
        """Report, and report the same to whoever comes later."""
        self.status = status
        for queue in self.watchers:
            queue.put_nowait(status)

    def hang_up(self) -> None:
        """End every watcher's stream, well."""
        for queue in self.watchers:
            queue.put_nowait(None)

    async def asked(self, times: int) -> None:
        """Wait until somebody has asked for reports so many times more."""
        while self._asked.locked() is False:
            await self._asked.acquire()
        async with asyncio.timeout(_PATIENCE):
            for _ in range(times):
                await self._asked.acquire()

    async def start(self) -> None:
        self._server = grpc.aio.server()
        worker_grpc.add_WorkerServiceServicer_to_server(self, self._server)
        self._server.add_insecure_port(self.address)
        await self._server.start()

    async def stop(self) -> None:
        """Go away at once, as a process that is killed does."""
        if self._server is not None:
            server, self._server = self._server, None
            self.watchers.clear()
            await server.stop(None)


class Gateway:
    """One Place stream, as a gateway holds it."""

    def __init__(self, stub: "router_grpc.RouterServiceAsyncStub") -> None:
        self._call = stub.Place()
        self._count = 0

    async def opened(self) -> None:
        async with asyncio.timeout(_PATIENCE):
            await self._call.initial_metadata()

    async def hello(self, *leases: placement.RunningLease) -> "Gateway":
        await self.say(router_service.PlaceCommand(hello=router_service.Hello(gateway="g", leases=leases)))
        return self

    async def say(self, *commands: router_service.PlaceCommand) -> None:
        await self._call.write(router_service.PlaceRequest(commands=commands))

    async def heard(self) -> list[router_service.PlaceAnswer]:
        async with asyncio.timeout(_PATIENCE):
            response = await self._call.read()
        assert isinstance(response, router_service.PlaceResponse), response
        return list(response.answers)

    def ask(self, model: str = "m") -> router_service.PlaceCommand:
        self._count += 1
        asked = placement.PlacementAsk(generation_id=f"g-{self._count}", model=model, capabilities=CHAT)
        return router_service.PlaceCommand(ask=asked)

    async def placed(self) -> placement.Placement:
        await self.say(self.ask())
        (answer,) = await self.heard()
        assert answer.WhichOneof("answer") == "placement", answer
        return answer.placement

    async def ended(self, attempt_id: str) -> None:
        outcome = placement.AttemptOutcome(attempt_id=attempt_id)
        await self.say(router_service.PlaceCommand(outcome=outcome))

    async def code(self) -> grpc.StatusCode:
        async with asyncio.timeout(_PATIENCE):
            return await self._call.code()

    async def details(self) -> str:
        return str(await self._call.details())

    async def done(self) -> None:
        await self._call.done_writing()

    def break_off(self) -> None:
        self._call.cancel()


class Router:
    """The router that is up, and what a test needs of it."""

    def __init__(
        self,
        stub: "router_grpc.RouterServiceAsyncStub",
        roster: Roster,
        decider: Decider,
        fleet: Fleet,
        workers: list[ScriptedWorker],
    ) -> None:
        self.stub = stub
        self.roster = roster
        self._decider = decider
        self._fleet = fleet
        self.workers = workers
        self._calls: list[Any] = []

    def reconfigure(self, config: MeshConfig) -> None:
        self._decider.reconfigure(config, time.monotonic())
        self._fleet.reconfigure(stale_seconds=config.router.stale_seconds)

    async def gateway(self, *leases: placement.RunningLease) -> Gateway:
        return await Gateway(self.stub).hello(*leases)

    async def fleet(self) -> AsyncGenerator[dict[str, fleet.FleetWorker], None]:
        """The fleet by worker, whenever it changes."""
        call = self.stub.WatchFleet(router_service.WatchFleetRequest())
        try:
            while True:
                async with asyncio.timeout(_PATIENCE):
                    response = await call.read()
                assert isinstance(response, router_service.WatchFleetResponse)
                yield {worker.worker: worker for worker in response.workers}
        finally:
            call.cancel()

    async def until(self, **healths: str) -> float:
        """Watch the fleet until workers, their dash an underscore, have these healths. Returns the seconds it took.

        They are those of the loop's clock.
        """
        async with loop_clock() as clock, contextlib.aclosing(self.fleet()) as seen:
            async for workers in seen:
                now = {
                    name.replace("-", "_"): fleet.WorkerHealth.Name(worker.health).removeprefix("WORKER_HEALTH_")
                    for name, worker in workers.items()
                }
                if healths.items() <= now.items():
                    return clock()
        raise AssertionError("the fleet has an end")

    async def until_capacity(self, capacity: int) -> None:
        """Watch the fleet until every worker has reported so much."""
        async with contextlib.aclosing(self.fleet()) as seen:
            async for workers in seen:
                if all(worker.status.capacity == capacity for worker in workers.values()):
                    return

    async def until_waiting(self, count: int) -> None:
        """Wait until so many asks wait."""
        models = self.roster.models.values()
        await eventually(lambda: sum(len(pool.admission.queue) for pool in models) == count, seconds=_PATIENCE)

    async def until_leases(self, **leases: int) -> None:
        """Watch the fleet until workers hold so many leases."""
        async with contextlib.aclosing(self.fleet()) as seen:
            async for workers in seen:
                if leases.items() <= {name.replace("-", "_"): w.leases for name, w in workers.items()}.items():
                    return


@contextlib.asynccontextmanager
async def open_router(home: pathlib.Path, config: MeshConfig) -> AsyncIterator[Router]:
    registry = metrics.new_registry()
    telemetry = Telemetry(registry)
    roster = Roster(config, telemetry)
    telemetry.watch(roster)
    watched = Fleet(roster, stale_seconds=config.router.stale_seconds, clock=time.monotonic)
    decider = Decider(roster, config.router.retry, rng=random.Random(1), new_id=ids.new_id, observer=telemetry)
    servicer = service.RouterServicer(decider, watched, clock=time.monotonic, config_version="v")
    address = f"unix:{home}/router.sock"
    async with contextlib.AsyncExitStack() as stack:
        # Workers report but once here: what they said is to be believed for as long as a test takes.
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        patched.setattr("services.router.worker.STALE_SECONDS", 60.0)
        workers = [ScriptedWorker(worker.place.address) for worker in roster.workers.values()]
        for worker in workers:
            await worker.start()
            stack.push_async_callback(worker.stop)
        await stack.enter_async_context(
            server.open_server(
                address,
                lambda up: router_grpc.add_RouterServiceServicer_to_server(servicer, up),
                [service.NAME],
                registry,
            )
        )
        await stack.enter_async_context(watched.watching())
        await watched.first_reports(seconds=_PATIENCE)
        channel = await stack.enter_async_context(open_channel(address))
        yield Router(router_grpc.RouterServiceStub(channel), roster, decider, watched, workers)
