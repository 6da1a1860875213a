"""Sessions, over a real server on a unix socket."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.worker.v1 import session_pb2 as session
from hybridinference.worker.v1 import worker_service_pb2 as worker
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from services.chassis import status
from services.chassis.channel import open_channel
from services.chassis.failure import Failure
from tests.fakes import (
    Events,
    GatewaySession,
    RunningWorker,
    Script,
    ScriptedProvider,
    delta,
    eventually,
    finished,
    gateway_session,
    running_worker,
    saying,
    spec,
    started,
)

_PIECE = "x" * 1000


async def _forever() -> Events:
    yield started()
    yield delta("begun")
    await asyncio.get_running_loop().create_future()


async def _silent() -> Events:
    await asyncio.get_running_loop().create_future()
    yield started()


async def _fails() -> Events:
    yield started()
    raise Failure(reasons.ERROR_REASON_PROVIDER_OVERLOADED, "Too busy.", provider="scripted", retry_after=2.0)


async def _raises() -> Events:
    yield started()
    raise RuntimeError("a fault")


async def _cancels_itself() -> Events:
    yield started()
    raise asyncio.CancelledError


async def _floods() -> Events:
    yield started()
    while True:
        await asyncio.sleep(0)
        yield delta(_PIECE)


async def _says_much() -> Events:
    yield started()
    for _ in range(300):
        yield delta(_PIECE)
    yield finished()


async def _speaks_badly() -> Events:
    yield started()
    yield delta("a\ud800b")
    yield finished()


async def _fails_badly() -> Events:
    yield started()
    raise Failure(
        reasons.ERROR_REASON_PROVIDER_REJECTED, "\ud800 is no text", retry_after=float("inf"), provider="\udfff"
    )


async def _finishes_and_lingers() -> Events:
    yield started()
    yield delta("whole")
    yield finished()
    await asyncio.get_running_loop().create_future()


async def _finishes_and_raises() -> Events:
    yield started()
    try:
        yield finished()
    finally:
        raise RuntimeError("while cleaning up")


async def _is_huge() -> Events:
    yield started()
    yield delta("x" * (17 << 20))
    yield finished()


SCRIPTS: dict[str, Script] = {
    "answers": saying(started(), delta("a"), delta("b"), finished()),
    "forever": _forever,
    "silent": _silent,
    "fails": _fails,
    "raises": _raises,
    "cancels itself": _cancels_itself,
    "floods": _floods,
    "says much": _says_much,
    "speaks badly": _speaks_badly,
    "fails badly": _fails_badly,
    "finishes and lingers": _finishes_and_lingers,
    "finishes and raises": _finishes_and_raises,
    "is huge": _is_huge,
    "is cut": saying(started(), delta("a")),
    "says nothing": saying(),
    "begins late": saying(delta("a"), started(), finished()),
    "starts twice": saying(started(), started(), finished()),
    "says an empty event": saying(started(), generation.GenerationEvent(), finished()),
    "finishes large": saying(started(), delta("x" * 200), finished()),
}


@pytest.fixture
def address() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="hy") as directory:
        yield f"unix:{directory}/w.sock"


@pytest.fixture
def provider_scripts() -> dict[str, Script]:
    return dict(SCRIPTS)


@pytest.fixture
async def provider(provider_scripts: dict[str, Script]) -> ScriptedProvider:
    return ScriptedProvider(provider_scripts)


@pytest.fixture
async def running(address: str, provider: ScriptedProvider) -> AsyncIterator[RunningWorker]:
    async with running_worker(address, provider) as up:
        yield up


@pytest.fixture
async def gateway(running: RunningWorker) -> AsyncIterator[GatewaySession]:
    async with gateway_session(running.address) as opened:
        yield opened


async def _all(call: Any) -> list[Any]:
    return [response async for response in call]


async def _reason(gateway: GatewaySession, attempt_id: str) -> Failure:
    why = await gateway.outcome(attempt_id)
    assert why is not None, "it finished"
    return status.from_status(why)


async def test_an_attempt_arrives_whole_and_in_order(gateway: GatewaySession) -> None:
    await gateway.start(("1", "answers"))
    assert await gateway.outcome("1") is None
    assert [event.WhichOneof("event") for event in gateway.events("1")] == ["started", "delta", "delta", "finished"]
    assert gateway.text("1") == "ab"


async def test_what_is_ready_at_one_moment_travels_in_one_message(
    gateway: GatewaySession, provider_scripts: dict[str, Script]
) -> None:
    steps = [asyncio.Event() for _ in range(5)]

    async def steps_along() -> Events:
        yield started()
        for step in steps:
            await step.wait()
            yield delta("t")
        yield finished()

    provider_scripts["steps along"] = steps_along
    attempts = [str(number) for number in range(64)]
    await gateway.start(*((attempt, "steps along") for attempt in attempts))
    await gateway.until(lambda: all(gateway.events(attempt) for attempt in attempts))
    before = len(gateway.messages)
    for number, step in enumerate(steps, start=1):
        step.set()
        await gateway.until(lambda wanted=number: all(len(gateway.text(attempt)) == wanted for attempt in attempts))
    # One message a step, and room for one more each: a writer may wake while the attempts still speak.
    assert len(gateway.messages) - before <= 2 * len(steps)
    assert max(len(message.events) for message in gateway.messages) >= 64


@pytest.mark.parametrize("trouble", ["fails", "raises", "cancels itself", "speaks badly", "fails badly", "is huge"])
async def test_an_attempt_in_trouble_leaves_its_neighbours_alone(gateway: GatewaySession, trouble: str) -> None:
    await gateway.start(("a", "forever"), ("b", trouble), ("c", "answers"))
    assert await gateway.outcome("b") is not None
    assert await gateway.outcome("c") is None
    await gateway.start(("d", "answers"))
    assert await gateway.outcome("d") is None
    assert not gateway.over("a")
    await gateway.cancel("a")
    assert (await _reason(gateway, "a")).reason == reasons.ERROR_REASON_CANCELLED


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("fails", reasons.ERROR_REASON_PROVIDER_OVERLOADED),
        ("raises", reasons.ERROR_REASON_ENGINE_FAILED),
        ("cancels itself", reasons.ERROR_REASON_ENGINE_FAILED),
        ("speaks badly", reasons.ERROR_REASON_ENGINE_FAILED),
        ("fails badly", reasons.ERROR_REASON_PROVIDER_REJECTED),
        ("finishes and raises", reasons.ERROR_REASON_ENGINE_FAILED),
        ("is huge", reasons.ERROR_REASON_PROVIDER_MALFORMED),
        ("is cut", reasons.ERROR_REASON_TRUNCATED),
        ("says nothing", reasons.ERROR_REASON_TRUNCATED),
        ("begins late", reasons.ERROR_REASON_PROVIDER_MALFORMED),
        ("starts twice", reasons.ERROR_REASON_PROVIDER_MALFORMED),
        ("says an empty event", reasons.ERROR_REASON_PROVIDER_MALFORMED),
    ],
)
async def test_a_failed_attempt_ends_with_the_very_status_of_its_execute(
    gateway: GatewaySession, running: RunningWorker, script: str, reason: "reasons.ErrorReason.ValueType"
) -> None:
    await gateway.start(("1", script))
    through_session = await gateway.outcome("1")
    assert through_session is not None
    async with open_channel(running.address) as channel:
        call = worker_grpc.WorkerServiceStub(channel).Execute(worker.ExecuteRequest(spec=spec(script)))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _all(call)
    through_execute = status.to_status(status.from_rpc_error(caught.value))
    assert through_session == through_execute
    assert status.from_status(through_session).reason == reason
    assert not any(event.HasField("finished") for event in gateway.events("1"))


async def test_cancelling_closes_the_provider_and_ends_with_cancelled(
    gateway: GatewaySession, provider: ScriptedProvider
) -> None:
    await gateway.start(("1", "forever"))
    await gateway.until(lambda: gateway.text("1") == "begun")
    await gateway.cancel("1")
    assert (await _reason(gateway, "1")).reason == reasons.ERROR_REASON_CANCELLED
    assert provider.closed == ["forever"]


async def test_a_cancel_in_the_same_message_as_its_start_ends_the_attempt(
    gateway: GatewaySession, running: RunningWorker
) -> None:
    start = session.StartAttempt(attempt_id="1", spec=spec("forever"))
    cancel = session.CancelAttempt(attempt_id="1")
    await gateway.say(session.SessionCommand(start=start), session.SessionCommand(cancel=cancel))
    assert (await _reason(gateway, "1")).reason == reasons.ERROR_REASON_CANCELLED
    await gateway.call.done_writing()
    assert await asyncio.wait_for(gateway.ended, 5) is grpc.StatusCode.OK


async def test_a_second_cancel_does_not_disturb_the_clean_up(
    gateway: GatewaySession, provider_scripts: dict[str, Script]
) -> None:
    cleaning, may_end, cleaned = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def cleans_up() -> Events:
        try:
            yield started()
            await asyncio.get_running_loop().create_future()
        finally:
            cleaning.set()
            await may_end.wait()
            cleaned.set()

    provider_scripts["cleans up"] = cleans_up
    await gateway.start(("1", "cleans up"))
    await gateway.until(lambda: bool(gateway.events("1")))
    await gateway.cancel("1")
    await asyncio.wait_for(cleaning.wait(), 5)
    await gateway.cancel("1")
    await gateway.start(("2", "answers"))  # the second cancel has been read before this one answers
    assert await gateway.outcome("2") is None
    may_end.set()
    assert (await _reason(gateway, "1")).reason == reasons.ERROR_REASON_CANCELLED
    assert cleaned.is_set()


async def test_a_flood_pauses_at_its_window_until_credit_comes(
    gateway: GatewaySession, provider: ScriptedProvider
) -> None:
    await gateway.start(("flood", "floods"))
    await gateway.until(lambda: len(gateway.text("flood")) >= 64_000)
    for number in range(20):  # neighbours come and go meanwhile
        await gateway.start((str(number), "answers"))
        assert await gateway.outcome(str(number)) is None
    paused_at = len(gateway.text("flood"))
    assert 60 << 10 <= paused_at <= 66 << 10
    await gateway.grant("flood", 10_000)
    await gateway.until(lambda: len(gateway.text("flood")) > paused_at)
    for number in range(20, 40):
        await gateway.start((str(number), "answers"))
        assert await gateway.outcome(str(number)) is None
    assert paused_at + 8_000 <= len(gateway.text("flood")) <= paused_at + 12_000
    await gateway.cancel("flood")
    assert (await _reason(gateway, "flood")).reason == reasons.ERROR_REASON_CANCELLED
    assert provider.running == 0


async def test_the_last_event_waits_for_no_credit(gateway: GatewaySession, provider: ScriptedProvider) -> None:
    """The gateway grants nothing for an attempt that has ended, so one that waits for it would never go."""
    size = sum(event.ByteSize() for event in (started(), delta("x" * 200)))
    await gateway.start(("1", "finishes large"), credit_bytes=size + 1)
    assert await gateway.outcome("1") is None
    await eventually(lambda: provider.running == 0, seconds=1)
    await gateway.call.done_writing()
    assert await asyncio.wait_for(gateway.ended, 5) is grpc.StatusCode.OK


async def test_a_provider_that_lingers_after_its_last_event_is_closed(
    gateway: GatewaySession, provider: ScriptedProvider
) -> None:
    await gateway.start(("1", "finishes and lingers"))
    assert await gateway.outcome("1") is None
    assert provider.closed == ["finishes and lingers"]


async def test_credit_of_nothing_or_of_very_much_is_harmless(gateway: GatewaySession) -> None:
    await gateway.start(("1", "says much"), credit_bytes=1)
    await gateway.until(lambda: bool(gateway.events("1")))
    await gateway.grant("1", 0)
    await gateway.start(("2", "answers"))
    assert await gateway.outcome("2") is None
    assert gateway.text("1") == ""
    for _ in range(3):
        await gateway.grant("1", 2**32 - 1)
    assert await gateway.outcome("1") is None
    assert len(gateway.text("1")) == 300_000


async def test_commands_for_unknown_attempts_are_ignored(gateway: GatewaySession) -> None:
    await gateway.cancel("nobody")
    await gateway.grant("nobody", 100)
    await gateway.say(session.SessionCommand())
    await gateway.say()
    await gateway.start(("1", "answers"))
    assert await gateway.outcome("1") is None
    await gateway.cancel("1")
    await gateway.grant("1", 100)
    await gateway.start(("2", "answers"))
    assert await gateway.outcome("2") is None
    assert not gateway.statuses("1")


async def test_a_start_with_the_id_of_a_running_attempt_is_ignored(
    gateway: GatewaySession, provider: ScriptedProvider
) -> None:
    await gateway.start(("1", "forever"), ("1", "answers"), ("2", "answers"))
    assert await gateway.outcome("2") is None
    assert gateway.text("1") == "begun"
    await gateway.cancel("1")
    assert (await _reason(gateway, "1")).reason == reasons.ERROR_REASON_CANCELLED
    assert sorted(provider.closed) == ["answers", "forever"]
    await gateway.start(("3", "answers"))
    assert await gateway.outcome("3") is None


@pytest.mark.parametrize(("script", "stage"), [("silent", "first_token"), ("forever", "total"), ("floods", "total")])
async def test_a_deadline_ends_the_attempt_and_names_the_stage(
    gateway: GatewaySession, provider: ScriptedProvider, script: str, stage: str
) -> None:
    await gateway.start(("1", script), seconds=0.1)
    failure = await _reason(gateway, "1")
    assert failure.reason == reasons.ERROR_REASON_DEADLINE_EXCEEDED
    assert failure.metadata["stage"] == stage
    assert provider.closed == [script]


async def test_an_attempt_without_time_left_ends_at_once(gateway: GatewaySession, provider: ScriptedProvider) -> None:
    await gateway.start(("1", "silent"), seconds=0.0)
    assert (await _reason(gateway, "1")).reason == reasons.ERROR_REASON_DEADLINE_EXCEEDED


async def test_a_broken_session_closes_every_provider_within_a_second(
    gateway: GatewaySession, provider: ScriptedProvider
) -> None:
    scripts = [("a", "forever"), ("b", "silent"), ("c", "floods")]
    await gateway.start(*scripts)
    await gateway.until(lambda: len(gateway.text("c")) >= 64_000 and gateway.text("a") == "begun")
    assert provider.running == 3
    gateway.call.cancel()
    await eventually(lambda: provider.running == 0, seconds=1)
    assert sorted(provider.closed) == sorted(script for _, script in scripts)


async def test_after_half_close_running_attempts_finish_and_the_call_ends(gateway: GatewaySession) -> None:
    await gateway.start(("1", "says much"), ("2", "answers"))  # more than a window, with nobody to open it
    await gateway.call.done_writing()
    assert await asyncio.wait_for(gateway.ended, 5) is grpc.StatusCode.OK
    assert len(gateway.text("1")) == 300_000
    assert gateway.over("1")
    assert gateway.over("2")


async def test_a_session_without_attempts_ends_on_half_close(gateway: GatewaySession) -> None:
    await gateway.call.done_writing()
    assert await asyncio.wait_for(gateway.ended, 5) is grpc.StatusCode.OK


async def test_draining_refuses_new_attempts_and_lets_running_ones_finish(
    gateway: GatewaySession, running: RunningWorker, provider_scripts: dict[str, Script]
) -> None:
    may_end = asyncio.Event()

    async def waits() -> Events:
        yield started()
        await may_end.wait()
        yield finished()

    provider_scripts["waits"] = waits
    await gateway.start(("1", "waits"))
    await gateway.until(lambda: bool(gateway.events("1")))
    running.executor.begin_draining()
    await gateway.start(("2", "answers"))
    failure = await _reason(gateway, "2")
    assert failure.reason == reasons.ERROR_REASON_WORKER_DRAINING
    assert failure.metadata == {"worker": "scripted-0"}
    assert not gateway.ended.done()
    may_end.set()
    assert await gateway.outcome("1") is None
    assert await asyncio.wait_for(gateway.ended, 5) is grpc.StatusCode.OK


async def test_an_idle_session_ends_when_the_worker_drains(gateway: GatewaySession, running: RunningWorker) -> None:
    await gateway.start(("1", "answers"))
    assert await gateway.outcome("1") is None
    running.executor.begin_draining()
    assert await asyncio.wait_for(gateway.ended, 5) is grpc.StatusCode.OK


async def test_a_stop_waits_for_work_but_not_for_those_who_watch(
    gateway: GatewaySession, running: RunningWorker
) -> None:
    async with open_channel(running.address) as channel:
        watch = worker_grpc.WorkerServiceStub(channel).WatchStatus(worker.WatchStatusRequest())
        assert (await watch.read()).status.worker == "scripted-0"
        await gateway.start(("1", "answers"))
        assert await gateway.outcome("1") is None
        running.executor.begin_draining()
        draining = asyncio.create_task(running.server.drain(seconds=60))
        await eventually(draining.done, seconds=2)
        await draining
        watch.cancel()


async def test_a_worker_that_loads_says_when_to_come_back(address: str) -> None:
    async with running_worker(address, None), gateway_session(address) as gateway:
        await gateway.start(("1", "answers"))
        failure = await _reason(gateway, "1")
    assert failure.reason == reasons.ERROR_REASON_WORKER_LOADING
    assert failure.retry_after == 1.0
    assert failure.metadata == {"worker": "scripted-0"}


async def test_a_model_that_is_not_served_is_named(gateway: GatewaySession) -> None:
    other = spec("answers")
    other.model = "m" * 100_000
    await gateway.say(session.SessionCommand(start=session.StartAttempt(attempt_id="1", spec=other)))
    failure = await _reason(gateway, "1")
    assert failure.reason == reasons.ERROR_REASON_MODEL_NOT_FOUND
    assert failure.metadata["model"].startswith("mmm")


async def test_attempts_are_counted_by_how_they_end(gateway: GatewaySession, running: RunningWorker) -> None:
    await gateway.start(("1", "answers"), ("2", "fails"), ("3", "forever"))
    await gateway.until(lambda: gateway.over("1") and gateway.over("2") and gateway.text("3") == "begun")
    value = running.registry.get_sample_value
    assert value("hybrid_worker_attempts_running") == 1
    await gateway.cancel("3")
    await gateway.outcome("3")
    assert value("hybrid_worker_attempts_running") == 0
    call = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "scripted", "gen_ai_request_model": "scripted"}
    for reason in ("", "PROVIDER_OVERLOADED", "CANCELLED"):
        assert value("gen_ai_client_operation_duration_seconds_count", {**call, "error_type": reason}) == 1
    assert value("gen_ai_client_operation_time_to_first_chunk_seconds_count", call) == 2
    assert value("gen_ai_client_token_usage_sum", {**call, "gen_ai_token_type": "output"}) == 1
