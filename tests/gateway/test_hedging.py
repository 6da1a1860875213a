"""A second attempt beside one that is slow to begin: whichever has content first goes on."""

import asyncio
import pathlib
from collections.abc import AsyncIterator, Callable

import pytest
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.failure import Failure
from services.gateway.hedging import race
from services.gateway.run import Run
from tests.fakes import Events, delta, eventually, finished, saying, started
from tests.gateway.scene import DEADLINES, Scene, scene

_SOON = 0.02


def when(gate: asyncio.Event, *, fails: bool = False) -> Callable[[], Events]:
    """A script that goes on once the gate is open."""

    async def script() -> Events:
        yield started()
        await gate.wait()
        if fails:
            raise Failure(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE, "no")
        yield delta("slow")
        yield finished()

    return script


async def silent() -> Events:
    yield started()
    await asyncio.get_running_loop().create_future()


QUICK = saying(started(), delta("quick"), finished())


@pytest.fixture
async def three(directory: pathlib.Path) -> AsyncIterator[Scene]:
    """Three workers; the second one is asked soon."""
    async with scene(directory, {"s": silent}, {"s": QUICK}, {"s": QUICK}) as made:
        made.router.hedge_after = _SOON
        yield made


def kinds(running: Scene) -> list[tuple[str, str, int]]:
    return [(one.kind, one.worker, one.outcome) for one in running.attempts]


async def test_the_second_attempt_wins_over_a_silent_one(three: Scene) -> None:
    assert await three.run("s") == "quick"
    assert kinds(three) == [("", "w0", ledger.OUTCOME_CANCELLED), ("hedge", "w1", ledger.OUTCOME_SUCCESS)]
    assert (three.request.worker, three.request.outcome) == ("w1", ledger.OUTCOME_SUCCESS)
    assert three.request.usage.output_tokens == 1
    await eventually(lambda: three.providers[0].running == 0, seconds=1)
    await eventually(lambda: len(three.router.said("outcome")) == 2, seconds=1)
    loser, winner = three.router.said("outcome")
    assert not loser.wanted
    assert not winner.wanted
    assert len(three.router.said("first_content")) == 1
    assert not three.placements._leases


async def test_the_first_attempt_wins_where_it_is_first(three: Scene) -> None:
    gate = asyncio.Event()
    three.providers[0].scripts = {"s": when(gate)}
    three.providers[1].scripts = {"s": silent}
    running = asyncio.create_task(three.run("s"))
    await eventually(lambda: three.providers[1].running == 1, seconds=30)
    gate.set()
    assert await running == "slow"
    assert kinds(three) == [("", "w0", ledger.OUTCOME_SUCCESS), ("hedge", "w1", ledger.OUTCOME_CANCELLED)]
    assert three.request.worker == "w0"
    await eventually(lambda: three.providers[1].running == 0, seconds=1)


async def test_one_that_begins_in_time_is_not_hedged(three: Scene) -> None:
    three.providers[0].scripts = {"s": QUICK}
    three.router.hedge_after = 5.0
    assert await three.run("s") == "quick"
    assert three.router.said("hedge") == []


async def test_a_refused_hedge_leaves_the_attempt_as_it_is(three: Scene) -> None:
    gate = asyncio.Event()
    three.providers[0].scripts = {"s": when(gate)}
    three.router.refuses_hedges = True
    running = asyncio.create_task(three.run("s"))
    await eventually(lambda: len(three.router.said("hedge")) == 1, seconds=30)
    await asyncio.sleep(0.01)
    gate.set()
    assert await running == "slow"
    assert len(three.attempts) == 1


@pytest.mark.parametrize("falls", [0, 1])
async def test_the_failure_of_one_of_two_ends_nothing(three: Scene, falls: int) -> None:
    falling, winning = asyncio.Event(), asyncio.Event()
    three.providers[falls].scripts = {"s": when(falling, fails=True)}
    three.providers[1 - falls].scripts = {"s": when(winning)}
    running = asyncio.create_task(three.run("s"))
    await eventually(lambda: three.providers[1].running == 1, seconds=30)
    falling.set()
    await eventually(lambda: three.providers[falls].running == 0, seconds=30)
    await eventually(lambda: len(three.router.said("outcome")) == 1, seconds=30)
    winning.set()
    assert await running == "slow"
    assert three.attempts[falls].error_reason == "PROVIDER_UNAVAILABLE"
    assert three.request.worker == f"w{1 - falls}"
    assert len(three.attempts) == 2


async def test_when_both_fail_a_third_is_tried(three: Scene) -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    for provider, gate in zip(three.providers, gates, strict=False):
        provider.scripts = {"s": when(gate, fails=True)}
    running = asyncio.create_task(three.run("s"))
    await eventually(lambda: three.providers[1].running == 1, seconds=30)
    for gate in gates:
        gate.set()
    assert await running == "quick"
    assert [(one.kind, one.error_reason) for one in three.attempts] == [
        ("", "PROVIDER_UNAVAILABLE"),
        ("hedge", "PROVIDER_UNAVAILABLE"),
        ("retry", ""),
    ]
    assert not three.placements._leases


async def test_a_caller_that_leaves_ends_both(three: Scene) -> None:
    three.providers[1].scripts = {"s": silent}
    running = asyncio.create_task(three.run("s"))
    await eventually(lambda: three.providers[1].running == 1, seconds=30)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await eventually(lambda: three.providers[0].running + three.providers[1].running == 0, seconds=1)
    assert {one.outcome for one in three.attempts} == {ledger.OUTCOME_CANCELLED}
    await eventually(lambda: len(three.router.said("outcome")) == 2, seconds=1)
    assert not three.placements._leases


async def test_a_deadline_ends_both(three: Scene) -> None:
    three.providers[1].scripts = {"s": silent}
    for seconds in DEADLINES:
        three.book.records.clear()
        with pytest.raises(Failure) as caught:
            await three.run("s", seconds=seconds)
        assert caught.value.reason == reasons.ERROR_REASON_DEADLINE_EXCEEDED
        if len(three.attempts) == 2:
            break
    assert [one.outcome for one in three.attempts] == [ledger.OUTCOME_DEADLINE] * 2
    await eventually(lambda: three.providers[0].running + three.providers[1].running == 0, seconds=1)
    assert not three.placements._leases


async def test_a_caller_that_leaves_while_the_router_thinks_leaves_no_lease(three: Scene) -> None:
    three.router.ignores_hedges = True
    running = asyncio.create_task(three.run("s"))
    await eventually(lambda: len(three.router.said("hedge")) == 1, seconds=30)
    three.router.silent = True
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not three.placements._leases
    assert not three.placements._hedging


async def test_a_router_that_is_silent_costs_the_first_attempt_nothing(three: Scene) -> None:
    gate = asyncio.Event()
    three.providers[0].scripts = {"s": when(gate)}
    three.router.ignores_hedges = True
    running = asyncio.create_task(three.run("s"))
    await eventually(lambda: len(three.router.said("hedge")) == 1, seconds=30)
    three.router.silent = True
    gate.set()
    assert await running == "slow"
    assert len(three.attempts) == 1


async def test_the_winner_that_breaks_later_is_answered_for(three: Scene) -> None:
    async def breaks() -> Events:
        yield started()
        yield delta("a")
        raise Failure(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE, "no")

    three.providers[1].scripts = {"s": breaks}
    with pytest.raises(Failure):
        await three.run("s")
    assert three.request.error_reason == "PROVIDER_UNAVAILABLE"
    assert kinds(three) == [("", "w0", ledger.OUTCOME_CANCELLED), ("hedge", "w1", ledger.OUTCOME_ERROR)]


class LeavingCaller:
    """Runs an attempt whose caller leaves just as what was placed beside it comes too late."""

    def __init__(self) -> None:
        self.racing: asyncio.Task[object]
        self.asked = asyncio.Event()
        self.given_back: list[str] = []

    async def content(self, run: Run) -> list[generation.GenerationEvent]:
        await self.asked.wait()
        return [delta("a")]

    async def ask_beside(self, run: Run) -> placement.Placement | None:
        self.asked.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            asyncio.get_running_loop().call_soon(self.racing.cancel)
        return placement.Placement(attempt_id="late")

    def begin_beside(self, placed: placement.Placement) -> Run | None:
        raise AssertionError("nobody is there to take it")

    def unused(self, placed: placement.Placement) -> None:
        self.given_back.append(placed.attempt_id)

    def fallen(self, run: Run, failure: Failure) -> None:
        raise AssertionError("none has failed")


async def test_a_second_attempt_that_comes_as_the_caller_leaves_is_given_back() -> None:
    caller = LeavingCaller()
    run = Run(placement.Placement(), 0.0, ledger.AttemptRecord())
    caller.racing = asyncio.create_task(race(caller, run, seconds=0.001))
    with pytest.raises(asyncio.CancelledError):
        await caller.racing
    await asyncio.sleep(0)
    assert caller.given_back == ["late"]
