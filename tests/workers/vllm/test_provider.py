"""The provider, on an engine that plays a script."""

import asyncio
import contextlib
import subprocess
import sys

import pytest
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from services.inference import capabilities
from services.workers.provider import AttemptContext
from services.workers.vllm.provider import CAPABILITIES, VllmEngine
from tests.workers.vllm.fakes import (
    Choice,
    DeadError,
    FailedError,
    FakeLlm,
    FullError,
    InvalidError,
    Output,
    fake_engine,
    spec,
)

HELLO = [
    Output([Choice(text="Hel", token_ids=[7])], num_cached_tokens=2),
    Output([Choice(text="lo", token_ids=[8], finish_reason="stop")], finished=True),
]


async def events_of(provider: VllmEngine, asked: generation.GenerationSpec) -> list[generation.GenerationEvent]:
    async with contextlib.aclosing(provider.generate(asked, AttemptContext())) as events:
        return [event async for event in events]


async def failure_of(llm: FakeLlm, asked: generation.GenerationSpec) -> Failure:
    with pytest.raises(Failure) as caught:
        await events_of(VllmEngine(fake_engine(llm), "m"), asked)
    return caught.value


def test_importing_the_provider_does_not_import_the_engine() -> None:
    program = "import sys, services.workers.vllm.provider; assert not {'vllm', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": ":".join(filter(None, sys.path))}, check=True)


async def test_an_answer_keeps_to_the_grammar() -> None:
    llm = FakeLlm(list(HELLO))
    events = await events_of(VllmEngine(fake_engine(llm), "m"), spec("Hi"))
    assert [event.WhichOneof("event") for event in events] == ["started", "delta", "delta", "finished"]
    assert events[0].started.provider_model == "m"
    assert events[-1].finished.usage == generation.Usage(input_tokens=3, output_tokens=2, cached_tokens=2)
    assert llm.rendered == [[{"role": "user", "content": "Hi"}]]
    assert (llm.params.output_kind, llm.params.max_tokens) == ("delta", 17)


async def test_structured_output_reaches_the_engine_in_its_own_type() -> None:
    llm = FakeLlm(list(HELLO))
    await events_of(VllmEngine(fake_engine(llm), "m"), spec(response_format={"json_object": {}}))
    assert llm.params.structured_outputs.json_object is True


async def test_closing_the_stream_rids_the_engine_of_the_request() -> None:
    llm = FakeLlm(list(HELLO[:1]), endless=True)
    provider = VllmEngine(fake_engine(llm), "m")
    events = provider.generate(spec(), AttemptContext())
    assert (await anext(events)).WhichOneof("event") == "started"
    assert provider.load().running == 1
    await events.aclose()
    assert provider.load().running == 0


async def test_cancelling_the_task_rids_the_engine_of_the_request() -> None:
    llm = FakeLlm([], endless=True)
    provider = VllmEngine(fake_engine(llm), "m")
    task = asyncio.create_task(events_of(provider, spec()))
    await asyncio.wait_for(llm.begun.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not llm.unfinished


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FullError(), reasons.ERROR_REASON_WORKER_SATURATED),
        (FailedError(), reasons.ERROR_REASON_ENGINE_FAILED),
        (DeadError(), reasons.ERROR_REASON_WORKER_LOST),
        (InvalidError("temperature must be in [0, 2]"), reasons.ERROR_REASON_SPEC_INVALID),
    ],
)
async def test_what_the_engine_raises_becomes_a_failure(error: Exception, reason: int) -> None:
    llm = FakeLlm([error])
    assert (await failure_of(llm, spec())).reason == reason
    assert not llm.unfinished


async def test_a_prompt_that_the_template_rejects_names_the_messages() -> None:
    llm = FakeLlm([])
    llm.render_error = InvalidError("Roles must alternate.")
    failure = await failure_of(llm, spec())
    assert (failure.reason, failure.metadata["field"]) == (reasons.ERROR_REASON_SPEC_INVALID, "messages")


async def test_a_prompt_that_fills_the_context_never_reaches_the_engine() -> None:
    llm = FakeLlm(list(HELLO))
    llm.prompt_tokens = 20
    failure = await failure_of(llm, spec())
    assert (failure.reason, failure.metadata["field"]) == (reasons.ERROR_REASON_CONTEXT_TOO_LONG, "messages")
    assert llm.params is None


async def test_a_schema_that_the_engine_rejects_names_the_format() -> None:
    llm = FakeLlm([InvalidError("Grammar error: Invalid type: banana")])
    asked = spec(response_format={"json_schema": {"schema_json": '{"type": "banana"}'}})
    assert (await failure_of(llm, asked)).metadata["field"] == "response_format"


async def test_the_death_of_the_engine_is_told_by_the_generation_that_meets_it() -> None:
    llm = FakeLlm([DeadError()])
    provider = VllmEngine(fake_engine(llm), "m")
    died = asyncio.create_task(provider.died())
    await asyncio.sleep(0)
    assert not died.done()
    with pytest.raises(Failure):
        await events_of(provider, spec())
    assert await asyncio.wait_for(died, 0.5)


async def test_the_death_of_a_resting_engine_is_noticed() -> None:
    llm = FakeLlm([])
    provider = VllmEngine(fake_engine(llm), "m")
    died = asyncio.create_task(provider.died())
    await asyncio.sleep(0)
    llm.errored = True
    assert await asyncio.wait_for(died, 5)


async def test_a_warm_up_renders_and_generates_nothing() -> None:
    llm = FakeLlm([])
    await VllmEngine(fake_engine(llm), "m").warm_up()
    assert len(llm.rendered) == 1
    assert llm.params is None


async def test_embedding_is_not_offered() -> None:
    with pytest.raises(Failure) as caught:
        await VllmEngine(fake_engine(FakeLlm([])), "m").embed(embedding.EmbeddingSpec(model="m"), AttemptContext())
    assert caught.value.reason == reasons.ERROR_REASON_UNSUPPORTED


def test_what_is_offered_is_what_the_check_lets_through() -> None:
    asked = spec(logprobs={}, choices=2, sampling={"seed": 1, "top_k": 1})
    capabilities.check(capabilities.required(asked), CAPABILITIES, name="m", provider="vllm")
    for asked in (spec(tools=[{"name": "f"}]), spec(reasoning_effort="low")):
        with pytest.raises(Failure):
            capabilities.check(capabilities.required(asked), CAPABILITIES, name="m", provider="vllm")


def test_the_model_is_announced_with_its_context() -> None:
    (served,) = VllmEngine(fake_engine(FakeLlm([])), "m").models
    assert (served.name, served.context_tokens, served.capabilities) == ("m", 20, CAPABILITIES)
