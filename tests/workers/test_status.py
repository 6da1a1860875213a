"""What a worker says of itself."""

import asyncio
import contextlib
import tempfile
import time

import pytest
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.worker.v1 import session_pb2 as session
from hybridinference.worker.v1 import worker_service_pb2 as worker
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from services.chassis.channel import open_channel
from services.workers import status
from services.workers.prefixes import Prefixes
from services.workers.status import StatusBoard
from tests.fakes import (
    Events,
    ScriptedProvider,
    delta,
    eventually,
    finished,
    gateway_session,
    running_worker,
    spec,
    started,
)
from tests.loop_clock import loop_clock


async def test_the_first_report_comes_at_once_and_then_one_a_second() -> None:
    board = StatusBoard("local-0", "vllm")
    loop = asyncio.get_running_loop()
    async with contextlib.aclosing(board.watch()) as reports, loop_clock() as clock:
        first = await anext(reports)
        begun = loop.time()
        assert clock() < 0.5
        second = await anext(reports)
        assert clock() < 3
        earlier = clock()
        await anext(reports)
        assert clock() - earlier < 3
        assert loop.time() - begun >= 1.0  # of the two in between one may be short: reports are on a beat
    assert (first.worker, first.kind, first.state) == ("local-0", "vllm", worker_status.WORKER_STATE_LOADING)
    assert (first.sequence, second.sequence) == (1, 2)


def test_progress_is_reported_while_it_is_known_and_only_while_loading() -> None:
    board = StatusBoard("local-0", "vllm")
    assert not board.report().HasField("loading_progress")
    board.loading(0.4)
    assert board.report().loading_progress == 0.4
    board.set_state(worker_status.WORKER_STATE_SERVING)
    assert not board.report().HasField("loading_progress")


async def test_changes_are_told_soon_and_many_together(monkeypatch: pytest.MonkeyPatch) -> None:
    board = StatusBoard("local-0", "vllm")
    loop = asyncio.get_running_loop()
    async with contextlib.aclosing(board.watch()) as reports:
        await anext(reports)
        begun = loop.time()
        for _ in range(100):
            board.touch()
        board.set_state(worker_status.WORKER_STATE_DRAINING)
        report = await anext(reports)
        assert loop.time() - begun < 0.5
        assert report.state == worker_status.WORKER_STATE_DRAINING
        assert report.sequence == 2
        monkeypatch.setattr(status, "_LATEST_SECONDS", 0.1)
        await anext(reports)  # nothing has changed since, so it is only the regular one
        begun = loop.time()
        await anext(reports)
        assert loop.time() - begun >= 0.05


async def test_a_change_between_two_looks_is_not_missed() -> None:
    board = StatusBoard("local-0", "vllm")
    loop = asyncio.get_running_loop()
    async with contextlib.aclosing(board.watch()) as reports:
        await anext(reports)
        looking = asyncio.create_task(anext(reports))
        await asyncio.sleep(0)  # it now lets time pass between reports
        board.touch()
        begun = loop.time()
        await looking
        assert loop.time() - begun < 0.5


def test_an_epoch_is_when_the_process_began() -> None:
    before = time.time_ns() // 1_000_000
    epoch = StatusBoard("local-0", "vllm").report().epoch
    assert before <= epoch <= time.time_ns() // 1_000_000


async def test_a_router_sees_load_and_state_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_LATEST_SECONDS", 60.0)  # no report but those of changes

    may_end = asyncio.Event()

    async def waits() -> Events:
        yield started()
        await may_end.wait()
        yield finished()

    with tempfile.TemporaryDirectory(prefix="hy") as directory:
        address = f"unix:{directory}/w.sock"
        provider = ScriptedProvider({"waits": waits})
        async with (
            running_worker(address, None) as running,
            open_channel(address) as channel,
            gateway_session(address) as gateway,
        ):
            watch = worker_grpc.WorkerServiceStub(channel).WatchStatus(worker.WatchStatusRequest())

            async def report() -> worker_status.WorkerStatus:
                answer: worker.WatchStatusResponse = await asyncio.wait_for(watch.read(), 30)
                return answer.status

            loading = await report()
            assert loading.state == worker_status.WORKER_STATE_LOADING
            assert not loading.models
            running.executor.begin_serving(provider)
            serving = await report()
            assert serving.state == worker_status.WORKER_STATE_SERVING
            assert [(served.name, list(served.capabilities)) for served in serving.models] == [
                ("scripted", [model.CAPABILITY_CHAT, model.CAPABILITY_COMPLETIONS, model.CAPABILITY_EMBEDDINGS])
            ]
            await gateway.start(("1", "waits"))
            assert (await report()).running == 1
            may_end.set()
            assert (await report()).running == 0
            running.executor.begin_draining()
            last = await report()
            assert last.state == worker_status.WORKER_STATE_DRAINING
            assert last.epoch == loading.epoch
            assert last.sequence == loading.sequence + 4
            watch.cancel()


async def test_each_watcher_that_asks_hears_once_of_each_prompt_that_came_meanwhile() -> None:
    board = StatusBoard("local-0", "vllm")
    board.prefixes.note("m", (1,))
    watches = [board.watch(prefixes=asks) for asks in (True, True, False)]
    try:
        assert [list((await anext(watch)).prefixes) for watch in watches] == [[], [], []]
        board.prefixes.note("m", (2, 3))
        board.prefixes.note("m", ())
        board.touch()
        told = worker_status.PrefixBlocks(model="m", hashes=(2, 3))
        assert [list((await anext(watch)).prefixes) for watch in watches] == [[told], [told], []]
        board.touch()
        assert not (await anext(watches[0])).prefixes
    finally:
        for watch in watches:
            await watch.aclose()


def test_what_is_told_of_prompts_is_bounded() -> None:
    prefixes = Prefixes()
    for number in range(100):
        prefixes.note("m", [number] * 100)
    told = prefixes.since(0)
    assert [list(blocks.hashes) for blocks in told] == [[number] * 64 for number in range(36, 100)]
    assert len(prefixes.since(99)) == 1
    assert prefixes.since(100) == []


async def test_what_is_emitted_is_counted_and_what_is_only_begun_is_not() -> None:
    may_go_on, may_end = asyncio.Event(), asyncio.Event()

    async def waits() -> Events:
        yield started()
        await may_go_on.wait()
        yield delta("a")
        await may_end.wait()
        yield finished()

    with tempfile.TemporaryDirectory(prefix="hy") as directory:
        address = f"unix:{directory}/w.sock"
        provider = ScriptedProvider({"waits": waits})
        async with running_worker(address, provider) as running, gateway_session(address) as gateway:
            await gateway.start(("1", "waits"))
            await eventually(lambda: len(gateway.events("1")) == 1, seconds=30)
            assert running.board.report().emitted == 0
            may_go_on.set()
            await eventually(lambda: running.board.report().emitted == 1, seconds=30)
            may_end.set()
            await eventually(lambda: running.board.report().emitted == 2, seconds=30)


async def test_the_blocks_of_a_prompt_that_comes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_LATEST_SECONDS", 60.0)  # no report but that of the change

    async def ends() -> Events:
        yield started()
        yield finished()

    with tempfile.TemporaryDirectory(prefix="hy") as directory:
        address = f"unix:{directory}/w.sock"
        async with (
            running_worker(address, ScriptedProvider({"ends": ends})),
            open_channel(address) as channel,
            gateway_session(address) as gateway,
        ):
            watch = worker_grpc.WorkerServiceStub(channel).WatchStatus(worker.WatchStatusRequest(prefixes=True))
            await asyncio.wait_for(watch.read(), 30)
            start = session.StartAttempt(attempt_id="1", spec=spec("ends"), prefix_hashes=(7, 8))
            await gateway.say(session.SessionCommand(start=start))
            answer = await asyncio.wait_for(watch.read(), 30)
            assert list(answer.status.prefixes) == [worker_status.PrefixBlocks(model="scripted", hashes=(7, 8))]
            watch.cancel()
