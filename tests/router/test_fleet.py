"""What workers report, and what watchers of the fleet see of it."""

import asyncio
import contextlib
import pathlib
import statistics
import time

import grpc
import pytest
from hybridinference.router.v1 import fleet_pb2 as fleet

from services.router import fleet as following
from services.router.fleet import Fleet
from services.router.observer import NullObserver
from services.router.roster import Roster
from services.router.worker import Worker
from tests.fakes import eventually
from tests.loop_clock import loop_clock
from tests.router.harness import Router, ScriptedWorker, open_router
from tests.router.scene import Scene, mesh_config, report


async def test_the_whole_fleet_is_sent_at_once(router: Router) -> None:
    async with contextlib.aclosing(router.fleet()) as seen:
        workers = await anext(seen)
    assert list(workers) == ["main-0", "main-1"]
    assert {worker.health for worker in workers.values()} == {fleet.WORKER_HEALTH_HEALTHY}
    assert workers["main-0"].status == report()


async def test_a_change_is_sent_and_shows_what_changed(router: Router) -> None:
    async with contextlib.aclosing(router.fleet()) as seen:
        await anext(seen)
        router.workers[0].say(report(sequence=2, running=7))
        workers = await anext(seen)
        assert workers["main-0"].status.running == 7
        gateway = await router.gateway()
        placed = await gateway.placed()
        workers = await anext(seen)
    assert placed.worker == "main-1"
    assert workers["main-1"].leases == 1


async def test_many_changes_are_sent_together(router: Router) -> None:
    gateway = await router.gateway()
    async with contextlib.aclosing(router.fleet()) as seen:
        await anext(seen)
        begun, took, messages, leases = time.monotonic(), 0.0, 0, 0
        while took < 0.5 or leases <= 10:
            await gateway.placed()
            leases += 1
            took = time.monotonic() - begun
        async for workers in seen:
            messages += 1
            if sum(worker.leases for worker in workers.values()) == leases:
                break
    assert messages <= 2 + took / 0.1


async def test_a_worker_that_goes_away_is_unreachable_within_a_second_and_comes_back(router: Router) -> None:
    gateway = await router.gateway()
    async with loop_clock() as clock:
        await router.workers[0].stop()
        await router.until(main_0="UNREACHABLE", main_1="HEALTHY")
        assert clock() < 1.0
    assert {(await gateway.placed()).worker for _ in range(3)} == {"main-1"}
    router.workers[0].status = report(epoch=2)
    await router.workers[0].start()
    assert await router.until(main_0="HEALTHY") < 2.0
    assert "main-0" in {(await gateway.placed()).worker for _ in range(3)}


async def test_a_worker_that_was_away_for_seconds_is_found_again_soon(router: Router) -> None:
    await router.workers[0].stop()
    await router.until(main_0="UNREACHABLE")
    # Long enough for the channel's backoff to reach its limit.
    async with contextlib.aclosing(router.fleet()) as seen:
        begun = time.monotonic()
        sequence = 1
        async for _ in seen:
            sequence += 1
            router.workers[1].say(report(sequence=sequence, running=sequence))
            if time.monotonic() - begun > 2.5:
                break
    await router.workers[0].start()
    assert await router.until(main_0="HEALTHY") < 1.5


async def test_a_silent_worker_is_unreachable_until_it_speaks_again(home: pathlib.Path, addresses: list[str]) -> None:
    config = mesh_config(addresses=addresses, router={"stale_seconds": 0.3})
    async with open_router(home, config) as router:
        router.workers[0].mute = True
        assert await router.until(main_0="UNREACHABLE") < 1.0
        router.workers[0].mute = False
        assert await router.until(main_0="HEALTHY") < 1.5


@pytest.mark.parametrize("code", [grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.CANCELLED])
async def test_a_worker_that_refuses_to_report_is_asked_again_but_not_all_the_time(
    home: pathlib.Path, addresses: list[str], code: grpc.StatusCode
) -> None:
    config = mesh_config(addresses=addresses, router={"stale_seconds": 60})
    async with open_router(home, config) as router:
        router.workers[0].refuses = code
        router.workers[0].hang_up()
        await router.until(main_0="UNREACHABLE")
        begun = time.monotonic()
        await router.workers[0].asked(4)
        assert time.monotonic() - begun > 0.5


async def test_a_worker_is_followed_from_the_change_that_brings_it_until_its_last_lease_has_ended(
    home: pathlib.Path, addresses: list[str]
) -> None:
    one = mesh_config(addresses=addresses[:1], router={"stale_seconds": 60})
    both = mesh_config(addresses=addresses, router={"stale_seconds": 60})
    async with open_router(home, both) as router:
        gateway = await router.gateway()
        placed = {each.worker: each.attempt_id for each in [await gateway.placed() for _ in range(2)]}
        assert set(placed) == {"main-0", "main-1"}
        router.reconfigure(one)
        async with contextlib.aclosing(router.fleet()) as seen:
            workers = await anext(seen)
            assert [len(worker.routes) for worker in workers.values()] == [1, 0]
            router.workers[1].say(report(sequence=2, running=7))
            workers = await anext(seen)
            assert workers["main-1"].status.running == 7, "it is still followed"
            await gateway.ended(placed["main-1"])
            async for workers in seen:
                if "main-1" not in workers:
                    break
            router.reconfigure(both)
            async for workers in seen:
                if "main-1" in workers and workers["main-1"].health == fleet.WORKER_HEALTH_HEALTHY:
                    break
        assert workers["main-1"].status.running == 7, "it was asked anew"


async def test_a_restarted_worker_s_prompts_are_forgotten_at_once(router: Router) -> None:
    pool = router.roster.pools["m"]
    at = next(target.position for target in pool.targets if target.worker.name == "main-0")
    pool.prefixes.add(at, (1, 2, 3))
    await router.workers[0].stop()
    await router.until(main_0="UNREACHABLE")
    router.workers[0].status = report(epoch=2)
    begun = time.monotonic()
    await router.workers[0].start()
    await eventually(lambda: router.roster.workers["main-0"].epoch == 2, seconds=30)
    print(f"the new process was known {(time.monotonic() - begun) * 1e3:.0f} ms after it began to listen")
    assert pool.prefixes.match((1,)) == {}


async def test_a_new_process_s_first_report_empties_the_index_within_200_ms(router: Router) -> None:
    pool = router.roster.pools["m"]
    at = next(target.position for target in pool.targets if target.worker.name == "main-0")
    took = []
    for epoch in range(2, 22):  # what else the machine does makes some of them slow
        pool.prefixes.add(at, (1, 2, 3))
        begun = time.monotonic()
        router.workers[0].say(report(epoch=epoch))
        await eventually(lambda: not pool.prefixes.match((1,)), seconds=30)
        took.append(time.monotonic() - begun)
    print(f"forgotten {statistics.median(took) * 1e3:.1f} ms after the report, {max(took) * 1e3:.1f} ms at worst")
    assert statistics.median(took) < 0.2


async def test_a_fault_with_one_worker_ends_nothing_and_it_is_followed_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.router.fleet._PAUSE_MAX_SECONDS", 0.02)
    config = mesh_config(addresses=[f"unix:{tmp_path}/{index}.sock" for index in range(2)])
    roster = Roster(config, NullObserver())
    watched = Fleet(roster, stale_seconds=2.0, clock=time.monotonic)
    faults = [RuntimeError("a fault")]

    async def beside(worker: Worker, channel: grpc.aio.Channel) -> None:
        if worker.name == "main-0" and faults:
            raise faults.pop()
        await asyncio.Event().wait()

    async with contextlib.AsyncExitStack() as stack:
        for worker in roster.workers.values():
            scripted = ScriptedWorker(worker.place.address)
            await scripted.start()
            stack.push_async_callback(scripted.stop)
        await stack.enter_async_context(watched.watching(beside))
        await eventually(lambda: not faults and all(one.serving for one in roster.workers.values()), seconds=5.0)


async def test_it_goes_by_the_time_often_only_while_somebody_waits_for_a_beginning(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[float] = []

    async def beat(seconds: float) -> None:
        beats.append(seconds)
        await asyncio.sleep(0.005)

    monkeypatch.setattr(following, "beat", beat)
    scene = Scene(mesh_config(addresses=[f"unix:{tmp_path}/0.sock"]))
    async with Fleet(scene.roster, stale_seconds=3, clock=lambda: scene.now).watching():
        await eventually(lambda: beats[-1:] == [1.0], seconds=30)
        placed = scene.place()
        await eventually(lambda: beats[-1] == 0.25, seconds=30)
        scene.begin(placed, 0.1)
        await eventually(lambda: beats[-1] == 1.0, seconds=30)
