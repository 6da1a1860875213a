"""A real engine with a real model, behind a real worker process."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.worker.v1 import session_pb2 as session
from hybridinference.worker.v1 import worker_service_pb2 as worker
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from services.chassis import status
from services.chassis.deadline import to_duration
from services.chassis.failure import Failure
from tests.workers.disconnects import MOST_BYTES, leave_at_random
from tests.workers.remote import RemoteProvider
from tests.workers.vllm.process import WorkerProcess, gone_within, running_worker

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}, "code": {"type": "string", "pattern": "^[A-Z]{2}$"}},
    "required": ["city", "code"],
    "additionalProperties": False,
}


WEATHER = {
    "name": "get_weather",
    "parameters_json": '{"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]'
    ', "additionalProperties": false}',
}
CLOCK = {
    "name": "get_time",
    "parameters_json": '{"type": "object", "properties": {"zone": {"enum": ["CET", "UTC"]}}, "required": ["zone"]'
    ', "additionalProperties": false}',
}


@pytest.fixture(scope="module")
def process() -> Iterator[WorkerProcess]:
    with running_worker(features=True) as running:
        yield running


@pytest_asyncio.fixture
async def stub(process: WorkerProcess) -> AsyncIterator[worker_grpc.WorkerServiceStub]:
    async with grpc.aio.insecure_channel(process.address) as channel:
        yield worker_grpc.WorkerServiceStub(channel)


def spec(text: str, **fields: Any) -> generation.GenerationSpec:
    made = generation.GenerationSpec(model="smollm2", **fields)
    made.messages.add(role=conversation.ROLE_USER).parts.add(text=text)
    return made


def prompted(**prompt: Any) -> generation.GenerationSpec:
    return generation.GenerationSpec(model="smollm2", max_output_tokens=4, prompt=prompt)


def endless(max_output_tokens: int = 1900) -> generation.GenerationSpec:
    """A generation of a minute or more: the end of text is ruled out."""
    never_ends = {"logit_bias": {2: -100.0}}
    return spec("Tell me a very long story.", max_output_tokens=max_output_tokens, sampling=never_ends)


async def events_of(
    stub: worker_grpc.WorkerServiceStub, asked: generation.GenerationSpec, timeout: float = 60
) -> list[generation.GenerationEvent]:
    call = stub.Execute(worker.ExecuteRequest(spec=asked), timeout=timeout)
    return [response.event async for response in call]


async def failure_of(stub: worker_grpc.WorkerServiceStub, asked: generation.GenerationSpec) -> Failure:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await events_of(stub, asked)
    return status.from_rpc_error(caught.value)


def text_of(events: list[generation.GenerationEvent], choice: int = 0) -> str:
    return "".join(event.delta.text for event in events if event.delta.choice == choice)


async def begun(stub: worker_grpc.WorkerServiceStub) -> Any:
    """A call whose answer has begun."""
    call = stub.Execute(worker.ExecuteRequest(spec=endless()))
    async for response in call:
        if response.event.HasField("delta"):
            break
    return call


async def rest_of(call: Any) -> list[generation.GenerationEvent]:
    """What is left of an answer."""
    return [response.event async for response in call]


async def seconds_until_resting(stub: worker_grpc.WorkerServiceStub) -> float:
    """How long until the worker reports that nothing runs."""
    start = time.monotonic()
    call = stub.WatchStatus(worker.WatchStatusRequest(), timeout=30)
    async for report in call:
        if not report.status.running and not report.status.waiting:
            break
    call.cancel()
    return time.monotonic() - start


async def engine_is_idle(process: WorkerProcess) -> bool:
    """Whether the engine's own process rests: the kernel's word, not the worker's."""
    before = process.engine_cpu_seconds()
    await asyncio.sleep(1)  # the measurement itself
    return process.engine_cpu_seconds() - before < 0.3


async def test_the_capital_of_france_is_paris(stub: worker_grpc.WorkerServiceStub) -> None:
    events = await events_of(stub, spec("What is the capital of France?", sampling={"temperature": 0}))
    assert text_of(events) == "The capital of France is Paris."
    finished = events[-1].finished
    assert list(finished.reasons) == [generation.FINISH_REASON_STOP]
    assert (finished.usage.input_tokens, finished.usage.output_tokens) == (37, 8)
    assert sum(event.delta.tokens for event in events) == 8
    assert [event.WhichOneof("event") for event in events] == ["started", *["delta"] * (len(events) - 2), "finished"]


async def test_a_stream_comes_in_many_pieces_over_time(stub: worker_grpc.WorkerServiceStub) -> None:
    call = stub.Execute(worker.ExecuteRequest(spec=endless(max_output_tokens=32)), timeout=60)
    times = [time.monotonic() async for response in call if response.event.HasField("delta")]
    assert len(times) > 16
    assert times[-1] - times[0] > 0.1


async def test_a_cancelled_call_frees_the_engine(stub: worker_grpc.WorkerServiceStub, process: WorkerProcess) -> None:
    for _ in range(3):  # what else the machine does makes some of them slow
        calls = [await begun(stub) for _ in range(2)]
        assert not await engine_is_idle(process)
        for call in calls:
            call.cancel()
        rested = await seconds_until_resting(stub)
        if rested < 1:
            break
    assert rested < 1
    assert await engine_is_idle(process)


async def test_a_deadline_ends_the_generation_and_frees_the_engine(
    stub: worker_grpc.WorkerServiceStub, process: WorkerProcess
) -> None:
    start = session.StartAttempt(attempt_id="a", spec=endless(), time_left=to_duration(1.0), credit_bytes=1 << 20)
    for _ in range(3):  # what else the machine does makes some of them slow
        call = stub.Session(timeout=30)
        began = time.monotonic()
        await call.write(worker.SessionRequest(commands=[session.SessionCommand(start=start)]))
        ended = None
        async for response in call:
            ended = next((event.status for event in response.events if event.HasField("status")), None)
            if ended is not None:
                break
        took = time.monotonic() - began
        assert ended is not None
        assert status.from_status(ended).reason == reasons.ERROR_REASON_DEADLINE_EXCEEDED
        assert took > 0.9
        rested = await seconds_until_resting(stub)
        if took < 1.5 and rested < 1:
            break
        call.cancel()
    assert took < 1.5
    assert rested < 1
    assert await engine_is_idle(process)
    call.cancel()


async def test_a_schema_is_enforced(stub: worker_grpc.WorkerServiceStub) -> None:
    form = {"json_schema": {"name": "place", "schema_json": json.dumps(SCHEMA)}}
    asked = spec("Where is the Eiffel tower?", response_format=form, max_output_tokens=60, sampling={"temperature": 0})
    answer = json.loads(text_of(await events_of(stub, asked)))
    assert set(answer) == {"city", "code"}
    assert len(answer["code"]) == 2


async def test_the_same_seed_gives_the_same_answer(stub: worker_grpc.WorkerServiceStub) -> None:
    def asked(seed: int) -> generation.GenerationSpec:
        return spec("Tell me a story.", max_output_tokens=12, sampling={"seed": seed, "temperature": 1.5})

    first, again, other = [text_of(await events_of(stub, asked(seed))) for seed in (-1, -1, 4)]
    assert first == again
    assert first != other


async def test_choices_come_together_even_when_greedy(stub: worker_grpc.WorkerServiceStub) -> None:
    events = await events_of(stub, spec("Name three fruits.", choices=2, sampling={"temperature": 0}))
    assert text_of(events, 0) == text_of(events, 1) == "1. Bananas\n2. Oranges\n3. Grapes"
    assert list(events[-1].finished.reasons) == [generation.FINISH_REASON_STOP] * 2
    assert events[-1].finished.usage.output_tokens == 30


async def test_a_stop_text_ends_the_answer_and_is_not_part_of_it(stub: worker_grpc.WorkerServiceStub) -> None:
    asked = spec("Name three fruits.", sampling={"temperature": 0, "stop": ["2."]})
    assert text_of(await events_of(stub, asked)) == "1. Bananas\n"


async def test_the_bytes_of_the_tokens_are_the_bytes_of_the_text(stub: worker_grpc.WorkerServiceStub) -> None:
    asked = spec(
        "Write only this emoji three times: 🦜 🌋 é",
        max_output_tokens=16,
        logprobs={"top": 2},
        sampling={"temperature": 0},
    )
    events = await events_of(stub, asked)
    tokens = [token for event in events for token in event.delta.logprobs]
    assert len(tokens) == events[-1].finished.usage.output_tokens
    assert all(len(token.top) == 2 and token.logprob <= 0 for token in tokens)
    assert "🦜" in text_of(events)
    joined = b"".join(token.token_bytes for token in tokens).decode(errors="ignore")
    assert joined.startswith(text_of(events).rstrip("\ufffd"))


@pytest.mark.parametrize(
    ("asked", "reason", "field"),
    [
        (spec("word " * 3000), reasons.ERROR_REASON_CONTEXT_TOO_LONG, "messages"),
        (spec("word " * 100_000), reasons.ERROR_REASON_CONTEXT_TOO_LONG, "messages"),
        (spec("Hi", max_output_tokens=2048), reasons.ERROR_REASON_CONTEXT_TOO_LONG, "max_output_tokens"),
        (spec("Hi", sampling={"temperature": -1}), reasons.ERROR_REASON_SPEC_INVALID, "sampling.temperature"),
        (spec("Hi", sampling={"logit_bias": {99999: 1}}), reasons.ERROR_REASON_SPEC_INVALID, "sampling.logit_bias"),
        (spec("Hi", logprobs={"top": 21}), reasons.ERROR_REASON_SPEC_INVALID, "logprobs"),
        (
            spec("Hi", response_format={"json_schema": {"schema_json": '{"type": "banana"}'}}),
            reasons.ERROR_REASON_SPEC_INVALID,
            "response_format",
        ),
        (
            spec("Hi", tools=[{"name": "f", "strict": True, "parameters_json": '{"type": "banana"}'}]),
            reasons.ERROR_REASON_SPEC_INVALID,
            "tools",
        ),
        (
            spec("Hi", provider_options_json='{"min_tokens": 9}', max_output_tokens=3),
            reasons.ERROR_REASON_SPEC_INVALID,
            "provider_options_json.min_tokens",
        ),
        (
            spec("Hi", provider_options_json='{"stop_token_ids": [99999]}'),
            reasons.ERROR_REASON_SPEC_INVALID,
            "provider_options_json.stop_token_ids",
        ),
        (spec("Hi", reasoning_effort="low"), reasons.ERROR_REASON_UNSUPPORTED, "reasoning_effort"),
        (prompted(token_ids={"ids": [1, 4_000_000]}), reasons.ERROR_REASON_SPEC_INVALID, "prompt"),
        (prompted(text="word " * 3000), reasons.ERROR_REASON_CONTEXT_TOO_LONG, "prompt"),
    ],
)
async def test_what_cannot_be_served_names_its_field(
    stub: worker_grpc.WorkerServiceStub, asked: generation.GenerationSpec, reason: int, field: str
) -> None:
    failure = await failure_of(stub, asked)
    assert (failure.reason, failure.metadata["field"]) == (reason, field)


async def test_a_full_engine_refuses_at_once(stub: worker_grpc.WorkerServiceStub) -> None:
    for _ in range(3):  # what else the machine does makes some of them slow
        await _fill(stub)
        rested = await seconds_until_resting(stub)
        if rested < 1:
            break
    assert rested < 1


async def _fill(stub: worker_grpc.WorkerServiceStub) -> None:
    """Ask for more than it takes in, and go."""
    calls = [asyncio.create_task(events_of(stub, endless())) for _ in range(20)]
    try:
        # 4 run, 4 times as many are taken in, and so 4 of 20 are refused.
        done, _ = await asyncio.wait(calls, timeout=10, return_when=asyncio.FIRST_EXCEPTION)
        assert done
        error = done.pop().exception()
        assert isinstance(error, grpc.aio.AioRpcError)
        failure = status.from_rpc_error(error)
        assert (failure.reason, failure.retry_after) == (reasons.ERROR_REASON_WORKER_SATURATED, 1.0)
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_required_calls_stream_two_at_once_and_keep_to_their_schemas(stub: worker_grpc.WorkerServiceStub) -> None:
    # Until that many tokens are out it may not end, so after the first call there is nothing but another.
    asked = spec(
        "What is the weather in Paris, and what time is it?",
        tools=[WEATHER, CLOCK],
        tool_choice={"mode": conversation.TOOL_CHOICE_MODE_REQUIRED},
        provider_options_json='{"min_tokens": 50}',
        max_output_tokens=120,
        sampling={"temperature": 0},
    )
    events = await events_of(stub, asked)
    pieces = [call for event in events for call in event.delta.tool_calls]
    calls: dict[int, str] = {}
    for piece in pieces:
        calls[piece.index] = calls.get(piece.index, "") + piece.arguments_json
    assert len(calls) >= 2
    assert len(pieces) > 4 * len(calls), "arguments come in pieces"
    assert text_of(events) == ""
    names = {piece.index: piece.name for piece in pieces if piece.id}
    for index, arguments in calls.items():
        allowed = {"get_weather": {"city": ["Paris", "Rome"]}, "get_time": {"zone": ["CET", "UTC"]}}[names[index]]
        ((parameter, value),) = json.loads(arguments).items()
        assert value in allowed[parameter]
    assert list(events[-1].finished.reasons) == [generation.FINISH_REASON_TOOL_CALLS]


async def test_the_tool_that_is_named_is_called_even_where_another_fits(stub: worker_grpc.WorkerServiceStub) -> None:
    asked = spec(
        "What is the weather in Paris?",
        tools=[WEATHER, CLOCK],
        tool_choice={"mode": conversation.TOOL_CHOICE_MODE_NAMED, "name": "get_time"},
        max_output_tokens=60,
        sampling={"temperature": 0},
    )
    pieces = [call for event in await events_of(stub, asked) for call in event.delta.tool_calls]
    assert [piece.name for piece in pieces if piece.name] == ["get_time"]
    assert json.loads("".join(piece.arguments_json for piece in pieces))["zone"] in ("CET", "UTC")


async def test_a_model_that_may_choose_and_one_that_may_not_answer_in_text(stub: worker_grpc.WorkerServiceStub) -> None:
    for mode, prompt in ((conversation.TOOL_CHOICE_MODE_AUTO, True), (conversation.TOOL_CHOICE_MODE_NONE, False)):
        asked = spec(
            "Hi", tools=[WEATHER], tool_choice={"mode": mode}, max_output_tokens=4, sampling={"temperature": 0}
        )
        events = await events_of(stub, asked)
        assert text_of(events)
        assert (events[-1].finished.usage.input_tokens > 90) is prompt, "tools are told only where they may be called"


async def test_the_result_of_a_tool_is_read(stub: worker_grpc.WorkerServiceStub) -> None:
    asked = spec("What is the weather in Paris?", tools=[WEATHER], max_output_tokens=20, sampling={"temperature": 0})
    call = conversation.ToolCall(id="c", name="get_weather", arguments_json='{"city": "Paris"}')
    asked.messages.add(role=conversation.ROLE_ASSISTANT).parts.add(tool_call=call)
    result = conversation.ToolResult(tool_call_id="c", text="22 degrees, sunny")
    asked.messages.add(role=conversation.ROLE_TOOL).parts.add(tool_result=result)
    assert "22 degrees" in text_of(await events_of(stub, asked))


async def test_a_cancelled_stream_of_calls_frees_the_engine(
    stub: worker_grpc.WorkerServiceStub, process: WorkerProcess
) -> None:
    asked = spec(
        "Weather?",
        tools=[WEATHER],
        tool_choice={"mode": conversation.TOOL_CHOICE_MODE_REQUIRED},
        provider_options_json='{"min_tokens": 1500}',
        max_output_tokens=1600,
    )
    for _ in range(3):  # what else the machine does makes some of them slow
        call = stub.Execute(worker.ExecuteRequest(spec=asked))
        async for response in call:
            if response.event.delta.tool_calls:
                break
        call.cancel()
        rested = await seconds_until_resting(stub)
        if rested < 1:
            break
    assert rested < 1
    assert await engine_is_idle(process)


async def test_an_adapter_is_a_model_of_its_own(stub: worker_grpc.WorkerServiceStub) -> None:
    answers = {}
    for name in ("smollm2", "small", "large"):
        asked = spec("What is the capital of France?", max_output_tokens=12, sampling={"temperature": 0})
        asked.model = name
        events = await events_of(stub, asked)
        assert events[0].started.provider_model == name
        answers[name] = text_of(events)
    assert answers["smollm2"] == answers["small"] == "The capital of France is Paris."
    assert "Paris" not in answers["large"]


async def test_a_caller_finds_its_own_prompts_in_the_cache_and_no_others(stub: worker_grpc.WorkerServiceStub) -> None:
    asked = spec("Once upon a time there was a ship. " * 10, max_output_tokens=1)

    async def cached(tenant: str) -> int:
        call = stub.Execute(worker.ExecuteRequest(spec=asked, tenant=tenant), timeout=60)
        events = [response.event async for response in call]
        return events[-1].finished.usage.cached_tokens

    assert [await cached("a"), await cached("a") > 64, await cached("b")] == [0, True, 0]


async def test_a_terminated_worker_lets_the_answer_finish_and_leaves_nothing() -> None:
    with running_worker(features=True) as process:
        async with grpc.aio.insecure_channel(process.address) as channel:
            stub = worker_grpc.WorkerServiceStub(channel)
            call = stub.Execute(worker.ExecuteRequest(spec=endless(max_output_tokens=24)), timeout=30)
            events = []
            async for response in call:
                if not events:
                    process.popen.send_signal(signal.SIGTERM)
                events.append(response.event)
        assert events[-1].finished.usage.output_tokens == 24
        assert await asyncio.to_thread(process.popen.wait, 30) == 0
        assert await asyncio.to_thread(gone_within, process.engine_pid, 30)


async def test_the_death_of_the_engine_ends_the_worker() -> None:
    with running_worker() as process:
        async with grpc.aio.insecure_channel(process.address) as channel:
            call = await begun(worker_grpc.WorkerServiceStub(channel))
            os.kill(process.engine_pid, signal.SIGKILL)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await rest_of(call)
        assert status.from_rpc_error(caught.value).reason == reasons.ERROR_REASON_WORKER_LOST
        assert await asyncio.to_thread(process.popen.wait, 30) == 1


async def test_a_signal_to_the_engine_does_not_look_like_one_to_the_worker() -> None:
    """They share the pipe that wakes the event loop on a signal. Told to stop, the worker would end with status 0."""
    with running_worker() as process:
        os.kill(process.engine_pid, signal.SIGTERM)
        assert await asyncio.to_thread(process.popen.wait, 20) == 1


async def test_a_killed_worker_leaves_no_engine() -> None:
    with running_worker() as process:
        process.popen.kill()
        process.popen.wait(30)
        assert await asyncio.to_thread(gone_within, process.engine_pid, 30)


async def test_a_thousand_callers_who_leave_leave_nothing_in_the_engine(
    process: WorkerProcess, stub: worker_grpc.WorkerServiceStub
) -> None:
    worker_process = RemoteProvider(stub)

    async def gone() -> bool:
        told = await worker_process.status()
        return not told.running and not told.waiting

    report = await leave_at_random(worker_process, endless(), gone, longest=0.1, pid=process.popen.pid)
    print(report)
    assert report.left == 1000
    assert report.slowest_seconds < 1
    assert report.grown_bytes < MOST_BYTES
