"""Two routers: one is kept to, and whoever is lost, silent or unwell is left for the other."""

import asyncio
import pathlib
import tempfile
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.router.v1 import placement_pb2 as placement
from hybridinference.router.v1 import router_service_pb2 as router
from hybridinference.router.v1 import router_service_pb2_grpc as router_grpc
from prometheus_client import CollectorRegistry

from services.chassis import status
from services.chassis.deadline import Deadline
from services.chassis.failure import Failure
from services.config.places import RouterPlace
from services.gateway.fallback import STRATEGY
from services.gateway.fleet import FleetView
from services.gateway.placement import Placements
from services.gateway.routers import open_routers
from tests.fakes import eventually
from tests.gateway.routing import Router

NEVER = Deadline(None)
BROKEN = Failure(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE, "no", field="f")
SECONDS = 30.0


class _Health(health_pb2_grpc.HealthServicer):
    """Says that all is well, or nothing at all."""

    def __init__(self) -> None:
        self.hangs = False

    async def Check(self, request: Any, context: Any) -> health_pb2.HealthCheckResponse:  # type: ignore[override]
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


class End:
    """One router with its server."""

    def __init__(self, directory: str, name: str) -> None:
        self.router = Router()
        self.router.worker = name
        self.health = _Health()
        self.place = RouterPlace(name, f"unix:{directory}/{name}.sock")
        self._server: grpc.aio.Server | None = None

    async def serve(self) -> None:
        self._server = grpc.aio.server()
        router_grpc.add_RouterServiceServicer_to_server(self.router, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        self._server.add_insecure_port(self.place.address)
        await self._server.start()

    async def kill(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None


class Both:
    """A gateway's placements before two routers, `a` preferred to `b`."""

    def __init__(self, directory: pathlib.Path, routers: Any, a: End, b: End, registry: CollectorRegistry) -> None:
        self.directory, self.routers, self.a, self.b, self.registry = directory, routers, a, b, registry
        self.fleet = FleetView(routers, "gateway")
        self.placements = Placements(routers, self.fleet, registry, gateway="g")
        self.placements.patience_seconds = SECONDS

    def ask(self, generation_id: str, deadline: Deadline = NEVER) -> asyncio.Task[placement.Placement]:
        ask = placement.PlacementAsk(generation_id=generation_id, model="m")
        return asyncio.create_task(self.placements.place(ask, deadline))

    async def asked(self, end: End, *generation_ids: str) -> None:
        def heard() -> bool:
            return set(generation_ids) <= {ask.generation_id for ask in end.router.said("ask")}

        await eventually(heard, seconds=SECONDS)

    async def placed(self, end: End, generation_id: str, attempt_id: str) -> placement.Placement:
        task = self.ask(generation_id)
        await self.asked(end, generation_id)
        end.router.place(generation_id, attempt_id)
        return await task

    async def keeps_to(self, end: End) -> None:
        def so() -> bool:
            return (
                self.routers.current.name == end.place.name
                and self.placements.connected.is_set()
                and [one.worker for one in self.fleet.workers] == [end.place.name]
            )

        await eventually(so, seconds=SECONDS)

    def counted(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"hybrid_gateway_{name}_total")


@pytest.fixture
async def both() -> AsyncIterator[Both]:
    """Two routers that serve, and a gateway that keeps to the first."""
    with tempfile.TemporaryDirectory(prefix="g-") as directory:
        a, b = End(directory, "a"), End(directory, "b")
        registry = CollectorRegistry()
        await a.serve()
        await b.serve()
        async with open_routers([a.place, b.place], registry) as routers, asyncio.TaskGroup() as tasks:
            routers.check_seconds, routers.patience_seconds = 0.1, SECONDS
            made = Both(pathlib.Path(directory), routers, a, b, registry)
            following = [tasks.create_task(each.follow()) for each in (routers, made.fleet, made.placements)]
            try:
                await made.keeps_to(a)
                yield made
            finally:
                for task in following:
                    task.cancel()
        await a.kill()
        await b.kill()


def failed(placed: placement.Placement) -> placement.AttemptOutcome:
    return placement.AttemptOutcome(attempt_id=placed.attempt_id, status=status.to_status(BROKEN), wanted=True)


async def test_what_waits_at_a_router_that_dies_is_asked_at_the_other_which_first_hears_of_what_runs(
    both: Both,
) -> None:
    await both.placed(both.a, "one", "a1")
    waiting = [both.ask("two"), both.ask("three")]
    await both.asked(both.a, "two", "three")
    both.a.router.have_wait("three")
    await both.a.kill()
    await both.asked(both.b, "two", "three")
    hello = both.b.router.commands[0].hello
    assert [lease.attempt_id for lease in hello.leases] == ["a1"]
    for name in ("two", "three"):
        both.b.router.place(name, name)
    assert [placed.attempt_id for placed in await asyncio.gather(*waiting)] == ["two", "three"]
    await both.keeps_to(both.b)
    assert both.counted("fallback_placements") == 0
    assert both.counted("router_moves") == 1
    assert both.registry.get_sample_value("hybrid_gateway_router_kept", {"router": "b"}) == 1


async def test_a_router_that_hangs_is_left_and_the_other_is_asked_for_as_long_as_there_is_left(both: Both) -> None:
    both.placements.patience_seconds = 3.0  # with each of them
    asked = both.ask("one", Deadline(asyncio.get_running_loop().time() + SECONDS))
    await both.asked(both.a, "one")
    await both.asked(both.b, "one")
    both.b.router.place("one", "b1")
    assert (await asked).attempt_id == "b1"
    assert both.b.router.said("ask")[0].time_left.ToNanoseconds() < SECONDS * 1e9 - 0.1e9
    await both.keeps_to(both.b)
    assert both.counted("fallback_placements") == 0


async def test_a_router_that_hangs_is_left_before_anybody_asks_it(both: Both) -> None:
    both.routers.patience_seconds = 1.0
    both.a.health.hangs = True
    await both.keeps_to(both.b)
    assert both.counted("fallback_placements") == 0


async def test_the_end_of_an_attempt_that_waits_when_the_router_dies_is_answered_by_the_other(both: Both) -> None:
    placed = await both.placed(both.a, "one", "a1")
    waiting = asyncio.create_task(both.placements.after_failure(placed, failed(placed), BROKEN, NEVER))
    await eventually(lambda: len(both.a.router.said("outcome")) == 1, seconds=SECONDS)
    await both.a.kill()
    await eventually(lambda: len(both.b.router.said("outcome")) == 1, seconds=SECONDS)
    kinds = [command.WhichOneof("command") for command in both.b.router.commands]
    assert kinds == ["hello", "outcome"]
    assert [lease.attempt_id for lease in both.b.router.commands[0].hello.leases] == ["a1"]
    both.b.router.place("one", "b1")
    assert (await waiting).attempt_id == "b1"
    assert list(both.placements._leases) == ["b1"]


async def test_without_any_router_a_gateway_places_alone_at_once(both: Both) -> None:
    await both.b.kill()
    await both.a.kill()
    await eventually(lambda: both.routers.alone, seconds=SECONDS)
    both.placements.patience_seconds = 1000.0
    async with asyncio.timeout(SECONDS):
        assert (await both.ask("one")).strategy == STRATEGY


async def test_to_try_routers_in_turn_while_none_is_there_is_no_move_and_no_line_each_time(both: Both) -> None:
    await both.b.kill()
    await both.a.kill()
    tried: list[str] = []

    def turns() -> int:
        if tried[-1:] != [both.routers.current.name]:
            tried.append(both.routers.current.name)
        return len(tried)

    await eventually(lambda: both.routers.alone and turns() > 4, seconds=SECONDS)
    moves = both.counted("router_moves")
    with structlog.testing.capture_logs() as lines:
        await eventually(lambda: turns() > 8, seconds=SECONDS)
    assert {line["log_level"] for line in lines} == {"debug"}
    assert both.counted("router_moves") == moves
    await both.b.serve()
    await both.keeps_to(both.b)


async def test_the_preferred_router_is_gone_back_to_with_all_that_runs(both: Both) -> None:
    await both.a.kill()
    await both.keeps_to(both.b)
    await both.placed(both.b, "one", "b1")
    waiting = both.ask("two")
    await both.asked(both.b, "two")
    both.a.router.commands.clear()
    both.routers._choice._home_seconds = 0.5
    await both.a.serve()
    await both.asked(both.a, "two")
    assert [lease.attempt_id for lease in both.a.router.commands[0].hello.leases] == ["b1"]
    both.a.router.place("two", "a2")
    assert (await waiting).attempt_id == "a2"
    await both.keeps_to(both.a)
    assert both.counted("router_losses") == 1, "to go home is no loss"


async def test_explanations_come_from_the_router_that_is_kept_to(both: Both) -> None:
    async def version() -> str:
        said = await both.routers.current.stub.Explain(router.ExplainRequest())
        return str(said.config_version)

    assert await version() == "a"
    await both.a.kill()
    await both.keeps_to(both.b)
    assert await version() == "b"
