"""The gateway's end of the stream to the router."""

import asyncio
import tempfile
from collections.abc import AsyncIterator

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.router.v1 import placement_pb2 as placement
from hybridinference.router.v1 import router_service_pb2 as router
from hybridinference.router.v1 import router_service_pb2_grpc as router_grpc
from prometheus_client import CollectorRegistry

from services.chassis import status
from services.chassis.channel import open_channel
from services.chassis.deadline import Deadline
from services.chassis.failure import Failure
from services.gateway.fallback import STRATEGY
from services.gateway.fleet import FleetView
from services.gateway.placement import Placements
from services.gateway.routers import Router as GatewaysRouter
from services.gateway.routers import Routers
from tests.fakes import eventually
from tests.gateway.routing import Router

NEVER = Deadline(None)
BROKEN = Failure(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE, "no", field="f")


class Pair:
    """A gateway's placements and the router at the other end."""

    def __init__(self, address: str, channel: grpc.aio.Channel) -> None:
        self.router = Router()
        self.registry = CollectorRegistry()
        stub, health = router_grpc.RouterServiceStub(channel), health_pb2_grpc.HealthStub(channel)
        routers = Routers([GatewaysRouter(0, "router", stub, health)], self.registry)
        self.fleet = FleetView(routers, "gateway")
        self.placements = Placements(routers, self.fleet, self.registry, gateway="g")
        self.placements.patience_seconds = 30.0
        self._address = address
        self._server: grpc.aio.Server | None = None

    def ask(
        self, generation_id: str, deadline: Deadline = NEVER, *, size: int = 0
    ) -> asyncio.Task[placement.Placement]:
        """Ask for a place, in a task."""
        ask = placement.PlacementAsk(generation_id=generation_id, model="m")
        return asyncio.create_task(self.placements.place(ask, deadline, lambda: size))

    async def told_to_wait(self, *generation_ids: str) -> None:
        """Have asks wait, and see that the gateway knows."""
        for generation_id in generation_ids:
            self.router.have_wait(generation_id)
        waiting = self.placements._waiting
        await eventually(lambda: all(one not in waiting or waiting[one].told for one in generation_ids), seconds=30)

    async def asked(self, count: int) -> None:
        """Wait until the router has heard of so many asks."""
        await eventually(lambda: len(self.router.said("ask")) == count, seconds=30)

    async def placed(self, generation_id: str, attempt_id: str) -> placement.Placement:
        """Ask, and be given a place."""
        task = self.ask(generation_id)
        await eventually(lambda: generation_id in [ask.generation_id for ask in self.router.said("ask")], seconds=30)
        self.router.place(generation_id, attempt_id)
        return await task

    async def serve(self) -> None:
        """Start the router, and wait until it is known."""
        self._server = grpc.aio.server()
        router_grpc.add_RouterServiceServicer_to_server(self.router, self._server)
        self._server.add_insecure_port(self._address)
        await self._server.start()
        await eventually(lambda: self.placements.connected.is_set() and bool(self.fleet.workers), seconds=30)

    async def kill(self) -> None:
        """End the router, and wait until that is noticed."""
        if self._server is not None:
            await self._server.stop(None)
            await eventually(lambda: not self.placements.connected.is_set(), seconds=30)

    def counted(self, name: str) -> float | None:
        """A metric."""
        return self.registry.get_sample_value(f"hybrid_gateway_{name}_total")


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """Both ends, connected."""
    with tempfile.TemporaryDirectory(prefix="g-") as directory:
        address = f"unix:{directory}/r.sock"
        async with open_channel(address) as channel, asyncio.TaskGroup() as tasks:
            made = Pair(address, channel)
            following = [tasks.create_task(made.fleet.follow()), tasks.create_task(made.placements.follow())]
            try:
                await made.serve()
                yield made
                await made.kill()
            finally:
                for task in following:
                    task.cancel()


def failed(placed: placement.Placement) -> placement.AttemptOutcome:
    return placement.AttemptOutcome(attempt_id=placed.attempt_id, status=status.to_status(BROKEN), wanted=True)


async def test_an_answer_finds_its_ask_whichever_comes_first(pair: Pair) -> None:
    first, second = pair.ask("one"), pair.ask("two")
    await pair.asked(2)
    pair.router.place("two", "b")
    assert (await second).attempt_id == "b"
    assert not first.done()
    pair.router.place("one", "a")
    assert (await first).attempt_id == "a"
    assert not pair.placements._waiting


async def test_a_refusal_is_the_failure_that_the_router_gave(pair: Pair) -> None:
    asked = pair.ask("one")
    await pair.asked(1)
    pair.router.refuse("one", Failure(reasons.ERROR_REASON_FLEET_SATURATED, "full", retry_after=2, model="m"))
    with pytest.raises(Failure) as caught:
        await asked
    assert (caught.value.reason, caught.value.retry_after) == (reasons.ERROR_REASON_FLEET_SATURATED, 2)
    assert caught.value.metadata == {"model": "m"}
    assert not pair.placements._leases


async def test_a_caller_that_leaves_withdraws_and_a_late_place_is_given_back(pair: Pair) -> None:
    asked = pair.ask("one")
    await pair.asked(1)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    pair.router.place("one", "late")
    await eventually(lambda: bool(pair.router.said("outcome")), seconds=30)
    assert [told.generation_id for told in pair.router.said("withdrawal")] == ["one"]
    outcome = pair.router.said("outcome")[0]
    assert (outcome.attempt_id, outcome.wanted) == ("late", False)
    assert status.from_status(outcome.status).reason == reasons.ERROR_REASON_CANCELLED
    assert not pair.placements._leases
    assert not pair.placements._waiting


async def test_an_answer_that_comes_in_the_moment_of_leaving_is_withdrawn(pair: Pair) -> None:
    asked = pair.ask("one")
    await pair.asked(1)
    placed = placement.Placement(generation_id="one", attempt_id="a")
    pair.placements._answered(router.PlaceAnswer(placement=placed))
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await eventually(lambda: bool(pair.router.said("withdrawal")), seconds=30)
    assert not pair.placements._leases


async def test_a_deadline_ends_the_wait(pair: Pair) -> None:
    with pytest.raises(Failure) as caught:
        await pair.ask("one", Deadline(asyncio.get_running_loop().time() + 0.05))
    assert (caught.value.reason, caught.value.metadata["stage"]) == (
        reasons.ERROR_REASON_DEADLINE_EXCEEDED,
        "placement",
    )
    await eventually(lambda: len(pair.router.said("withdrawal")) == 1, seconds=30)


async def test_an_ask_that_waits_has_patience_until_its_deadline(pair: Pair) -> None:
    pair.placements.patience_seconds = 3.0  # within which it is told to wait
    loop = asyncio.get_running_loop()
    patient, late = pair.ask("one"), pair.ask("two", Deadline(loop.time() + 3.5))
    await pair.asked(2)
    await pair.told_to_wait("one", "two")
    with pytest.raises(Failure) as caught:
        await late
    assert caught.value.metadata["stage"] == "placement"
    assert not patient.done()
    pair.router.place("one", "a")
    assert (await patient).attempt_id == "a"
    await eventually(lambda: [told.generation_id for told in pair.router.said("withdrawal")] == ["two"], seconds=30)
    assert pair.counted("fallback_placements") == 0


async def test_a_caller_that_leaves_while_it_waits_withdraws(pair: Pair) -> None:
    asked = pair.ask("one", size=10)
    await pair.asked(1)
    await pair.told_to_wait("one")
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await eventually(lambda: len(pair.router.said("withdrawal")) == 1, seconds=30)
    assert pair.placements._bytes == 0


async def test_what_is_placed_as_the_caller_leaves_is_given_back_with_its_shadow(pair: Pair) -> None:
    asked = pair.ask("one")
    await pair.asked(1)
    shadow = placement.Placement(generation_id="one", attempt_id="b", worker="w", kind=placement.ATTEMPT_KIND_SHADOW)
    placed = placement.Placement(generation_id="one", attempt_id="a", worker="w", shadow=shadow)
    pair.placements._answered(router.PlaceAnswer(placement=placed))
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await eventually(lambda: [told.attempt_id for told in pair.router.said("outcome")] == ["a", "b"], seconds=30)
    assert not pair.placements._leases


async def test_who_waits_is_told_that_the_gateway_stops(pair: Pair) -> None:
    asked = pair.ask("one", size=10)
    await pair.asked(1)
    await pair.told_to_wait("one")
    pair.placements.interrupt()
    for one in (asked, pair.ask("two")):
        with pytest.raises(Failure) as caught:
            await one
        assert caught.value.reason == reasons.ERROR_REASON_STREAM_INTERRUPTED
    await eventually(lambda: [told.generation_id for told in pair.router.said("withdrawal")] == ["one"], seconds=30)
    assert pair.placements._bytes == 0


async def test_a_hedge_is_waited_for_until_the_deadline_and_no_longer(pair: Pair) -> None:
    pair.placements.patience_seconds = 60.0
    placed = await pair.placed("one", "a")
    async with asyncio.timeout(30):
        assert await pair.placements.hedge(placed, 0.01) is None
    assert not pair.placements._hedging


async def test_a_gateway_that_stops_waits_for_no_hedge(pair: Pair) -> None:
    pair.placements.patience_seconds = 60.0
    hedge = asyncio.create_task(pair.placements.hedge(await pair.placed("one", "a"), None))
    await eventually(lambda: len(pair.router.said("hedge")) == 1, seconds=30)
    pair.placements.interrupt()
    async with asyncio.timeout(30):
        assert await hedge is None


async def test_what_was_told_to_wait_is_placed_alone_when_the_router_dies(pair: Pair) -> None:
    asked = pair.ask("one", size=10)
    await pair.asked(1)
    await pair.told_to_wait("one")
    await pair.kill()
    assert (await asked).strategy == STRATEGY
    assert pair.placements._bytes == 0


async def test_prompts_that_wait_are_bounded_by_their_bytes(pair: Pair) -> None:
    small, large = pair.ask("one", size=1 << 20), pair.ask("two", size=64 << 20)
    await pair.asked(2)
    await pair.told_to_wait("one", "two")
    with pytest.raises(Failure) as caught:
        await large
    assert (caught.value.reason, caught.value.retry_after) == (reasons.ERROR_REASON_FLEET_SATURATED, 1.0)
    await eventually(lambda: [told.generation_id for told in pair.router.said("withdrawal")] == ["two"], seconds=30)
    third = pair.ask("three", size=63 << 20)
    await pair.asked(3)
    await pair.told_to_wait("three")
    for name in ("one", "three"):
        pair.router.place(name, name)
    assert [(await one).attempt_id for one in (small, third)] == ["one", "three"]


async def test_a_failed_attempt_s_next_place_may_be_waited_for(pair: Pair) -> None:
    pair.placements.patience_seconds = 3.0  # within which it is told to wait
    placed = await pair.placed("one", "a")
    waiting = asyncio.create_task(pair.placements.after_failure(placed, failed(placed), BROKEN, NEVER))
    await eventually(lambda: len(pair.router.said("outcome")) == 1, seconds=30)
    await pair.told_to_wait("one")
    await asyncio.sleep(3.1)
    pair.router.place("one", "b")
    assert (await waiting).attempt_id == "b"


async def test_asks_that_wait_when_the_router_dies_are_placed_alone(pair: Pair) -> None:
    waiting = [pair.ask("one"), pair.ask("two")]
    await pair.asked(2)
    await pair.kill()
    for placed in await asyncio.gather(*waiting):
        assert (placed.worker, placed.strategy) == ("w", STRATEGY)
    assert pair.counted("fallback_placements") == 2
    assert pair.counted("router_losses") == 1


async def test_an_outcome_that_waits_when_the_router_dies_is_answered_with_the_failure_itself(pair: Pair) -> None:
    placed = await pair.placed("one", "a")
    waiting = asyncio.create_task(pair.placements.after_failure(placed, failed(placed), BROKEN, NEVER))
    await eventually(lambda: len(pair.router.said("outcome")) == 1, seconds=30)
    await pair.kill()
    with pytest.raises(Failure) as caught:
        await waiting
    assert (caught.value.reason, caught.value.message, caught.value.metadata) == (
        BROKEN.reason,
        BROKEN.message,
        BROKEN.metadata,
    )
    assert caught.value.retry_after == 1.0
    assert not pair.placements._leases


async def test_an_outcome_is_answered_with_the_next_place(pair: Pair) -> None:
    placed = await pair.placed("one", "a")
    waiting = asyncio.create_task(pair.placements.after_failure(placed, failed(placed), BROKEN, NEVER))
    await eventually(lambda: len(pair.router.said("outcome")) == 1, seconds=30)
    pair.router.place("one", "b")
    assert (await waiting).attempt_id == "b"
    assert list(pair.placements._leases) == ["b"]


async def test_a_router_that_comes_back_hears_first_of_what_runs(pair: Pair) -> None:
    kept, over, alone = await pair.placed("one", "a"), await pair.placed("two", "b"), "three"
    pair.placements.first_content(placement.FirstContent(attempt_id=kept.attempt_id))
    await pair.kill()
    pair.placements.ended(placement.AttemptOutcome(attempt_id=over.attempt_id))
    placed = await pair.ask(alone)
    pair.router.commands.clear()
    await pair.serve()
    await eventually(lambda: bool(pair.router.commands), seconds=30)
    hello = pair.router.commands[0].hello
    assert (hello.gateway, len(pair.router.commands)) == ("g", 1)
    assert [(lease.attempt_id, lease.generation_id, lease.model, lease.committed) for lease in hello.leases] == [
        ("a", "one", "m", True),
        (placed.attempt_id, "three", "m", False),
    ]
    pair.placements.ended(placement.AttemptOutcome(attempt_id="a"))
    pair.placements.ended(placement.AttemptOutcome(attempt_id="a"))
    assert (await pair.placed("four", "d")).attempt_id == "d"
    assert [outcome.attempt_id for outcome in pair.router.said("outcome")] == ["a"], "an end is told once"


async def test_a_gateway_that_never_knew_a_fleet_refuses_and_says_when_to_come_back() -> None:
    async with open_channel("unix:/nowhere.sock") as channel:
        pair = Pair("unix:/nowhere.sock", channel)
        with pytest.raises(Failure) as caught:
            await pair.ask("one")
    assert caught.value.reason == reasons.ERROR_REASON_NO_HEALTHY_WORKER
    assert caught.value.retry_after == 1.0


async def test_a_router_that_comes_back_hears_what_was_asked_and_who_has_failed_it(pair: Pair) -> None:
    placed = await pair.placed("one", "a")
    waiting = asyncio.create_task(pair.placements.after_failure(placed, failed(placed), BROKEN, NEVER))
    await eventually(lambda: len(pair.router.said("outcome")) == 1, seconds=30)
    pair.router.place("one", "b")
    await waiting
    await asyncio.sleep(0.02)
    await pair.kill()
    pair.router.commands.clear()
    await pair.serve()
    await eventually(lambda: bool(pair.router.commands), seconds=30)
    (lease,) = pair.router.commands[0].hello.leases
    assert (lease.attempt_id, lease.worker, list(lease.tried)) == ("b", "w", ["w"])
    assert (lease.ask.generation_id, lease.ask.model) == ("one", "m")
    assert lease.age.ToNanoseconds() > 20e6
