"""The provider, on an engine that plays a script."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model

from services.chassis.failure import Failure
from services.inference import capabilities
from services.workers.provider import AttemptContext
from services.workers.vllm import engine
from services.workers.vllm.provider import VllmEngine
from tests.workers.vllm.fakes import (
    Choice,
    DeadError,
    FailedError,
    FakeLlm,
    FakeParser,
    FullError,
    InvalidError,
    NoTemplateError,
    Output,
    ThinkingParser,
    fake_engine,
    spec,
)

HELLO = [
    Output([Choice(text="Hel", token_ids=[7])], num_cached_tokens=2),
    Output([Choice(text="lo", token_ids=[8], finish_reason="stop")], finished=True),
]


def provider_of(llm: FakeLlm, *, tasks: Sequence[str] = ("generate",), **fields: Any) -> VllmEngine:
    return VllmEngine(fake_engine(llm, **fields), "m", tasks)


async def events_of(provider: VllmEngine, asked: generation.GenerationSpec) -> list[generation.GenerationEvent]:
    async with contextlib.aclosing(provider.generate(asked, AttemptContext())) as events:
        return [event async for event in events]


async def failure_of(llm: FakeLlm, asked: generation.GenerationSpec) -> Failure:
    with pytest.raises(Failure) as caught:
        await events_of(provider_of(llm), asked)
    return caught.value


def test_importing_the_provider_does_not_import_the_engine() -> None:
    program = "import sys, services.workers.vllm.provider; assert not {'vllm', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": ":".join(filter(None, sys.path))}, check=True)


async def test_an_answer_keeps_to_the_grammar() -> None:
    llm = FakeLlm(list(HELLO))
    events = await events_of(provider_of(llm), spec("Hi"))
    assert [event.WhichOneof("event") for event in events] == ["started", "delta", "delta", "finished"]
    assert events[0].started.provider_model == "m"
    assert events[-1].finished.usage == generation.Usage(input_tokens=3, output_tokens=2, cached_tokens=2)
    assert llm.rendered == [[{"role": "user", "content": "Hi"}]]
    assert (llm.params.output_kind, llm.params.max_tokens) == ("delta", 17)


async def test_structured_output_reaches_the_engine_in_its_own_type() -> None:
    llm = FakeLlm(list(HELLO))
    await events_of(provider_of(llm), spec(response_format={"json_object": {}}))
    assert llm.params.structured_outputs.json_object is True


async def test_closing_the_stream_rids_the_engine_of_the_request() -> None:
    llm = FakeLlm(list(HELLO[:1]), endless=True)
    provider = provider_of(llm)
    events = provider.generate(spec(), AttemptContext())
    assert (await anext(events)).WhichOneof("event") == "started"
    assert provider.load().running == 1
    await events.aclose()
    assert provider.load().running == 0


async def test_cancelling_the_task_rids_the_engine_of_the_request() -> None:
    llm = FakeLlm([], endless=True)
    provider = provider_of(llm)
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


async def test_a_picture_that_cannot_be_read_is_the_callers_fault() -> None:
    llm = FakeLlm([])
    llm.render_error = ValueError("cannot identify image file")
    asked = spec()
    asked.messages[0].parts.add(image={"data": b"no picture"})
    failure = await failure_of(llm, asked)
    assert (failure.reason, failure.metadata["field"]) == (reasons.ERROR_REASON_SPEC_INVALID, "messages")


async def test_pictures_are_offered_where_the_model_takes_them() -> None:
    llm = FakeLlm(list(HELLO))
    llm.mm_processor = SimpleNamespace(info=SimpleNamespace(allowed_mm_limits={"image": 2}))
    assert model.CAPABILITY_IMAGES in provider_of(llm).models[0].capabilities
    llm.mm_processor.info.allowed_mm_limits = {"image": 0, "audio": 1}
    assert model.CAPABILITY_IMAGES not in provider_of(llm).models[0].capabilities
    assert model.CAPABILITY_IMAGES not in provider_of(FakeLlm([])).models[0].capabilities


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
    provider = provider_of(llm)
    died = asyncio.create_task(provider.died())
    await asyncio.sleep(0)
    assert not died.done()
    with pytest.raises(Failure):
        await events_of(provider, spec())
    assert await asyncio.wait_for(died, 0.5)


async def test_the_death_of_a_resting_engine_is_noticed() -> None:
    llm = FakeLlm([])
    provider = provider_of(llm)
    died = asyncio.create_task(provider.died())
    await asyncio.sleep(0)
    llm.errored = True
    assert await asyncio.wait_for(died, 5)


async def test_a_warm_up_renders_and_generates_nothing() -> None:
    llm = FakeLlm([])
    await provider_of(llm).warm_up()
    assert len(llm.rendered) == 1
    assert llm.params is None


async def test_a_model_without_a_chat_template_completes_prompts_and_does_not_chat() -> None:
    llm = FakeLlm(list(HELLO))
    provider = provider_of(llm, parser_class=FakeParser)
    llm.render_error = NoTemplateError("there is none")
    await provider.warm_up()
    (served,) = provider.models
    assert model.CAPABILITY_COMPLETIONS in served.capabilities
    assert not {model.CAPABILITY_CHAT, model.CAPABILITY_TOOLS} & set(served.capabilities)
    assert (await events_of(provider, prompted(text="Hi")))[-1].HasField("finished")


@pytest.mark.parametrize(
    ("traced", "trace", "more"),
    [
        (True, "00-t-s-01", {"trace_headers": {"traceparent": "00-t-s-01"}}),
        (True, "", {}),
        (False, "00-t-s-01", {}),
    ],
)
async def test_an_engine_that_sends_spans_is_told_what_they_stand_below(
    traced: bool, trace: str, more: dict[str, object]
) -> None:
    llm = FakeLlm(list(HELLO))
    provider = provider_of(llm, traced=traced)
    await provider.warm_up()
    async with contextlib.aclosing(provider.generate(spec(), AttemptContext(traceparent=trace))) as events:
        async for _ in events:
            pass
    assert llm.more == more


async def test_the_model_and_each_adapter_are_announced_with_their_context_and_what_they_can_do() -> None:
    llm = FakeLlm(list(HELLO))
    provider = provider_of(llm, parser_class=FakeParser, adapters={"law": "the adapter"})
    assert [(served.name, served.context_tokens) for served in provider.models] == [("m", 20), ("law", 20)]
    assert all(model.CAPABILITY_TOOLS in served.capabilities for served in provider.models)
    asked = spec()
    asked.model = "law"
    await provider.warm_up()
    events = await events_of(provider, asked)
    assert (llm.adapters, llm.more) == (["the adapter"], {"lora_request": "the adapter"})
    assert events[0].started.provider_model == "law"


def test_without_a_parser_tools_are_not_offered() -> None:
    (served,) = provider_of(FakeLlm([])).models
    needs = capabilities.required(spec(tools=[{"name": "f"}]))
    with pytest.raises(Failure) as caught:
        capabilities.check(needs, served.capabilities, name="m", provider="vllm")
    assert caught.value.metadata["field"] == "tools"


def test_a_model_that_can_do_nothing_of_use_is_refused() -> None:
    with pytest.raises(ValueError, match="neither generates nor embeds; vLLM offers classify"):
        provider_of(FakeLlm([]), tasks=["classify"])


async def test_tool_calls_come_apart_from_text_and_the_finish_says_so() -> None:
    pieces = ("Well", "?weather", '{"city": ', '"Paris"}', "?clock", "{}", "")
    last = len(pieces) - 1
    outputs = [
        Output([Choice(text=text, token_ids=[n], finish_reason="stop" if n == last else None)])
        for n, text in enumerate(pieces)
    ]
    llm = FakeLlm(list(outputs))
    asked = spec(tools=[{"name": "weather"}, {"name": "clock"}])
    events = await events_of(provider_of(llm, parser_class=FakeParser), asked)
    deltas = [event.delta for event in events[1:-1]]
    assert "".join(delta.text for delta in deltas) == "Well"
    calls = [call for delta in deltas for call in delta.tool_calls]
    assert [(call.index, call.name, call.arguments_json) for call in calls] == [
        (0, "weather", ""),
        (0, "", '{"city": '),
        (0, "", '"Paris"}'),
        (1, "clock", ""),
        (1, "", "{}"),
    ]
    assert calls[0].id != calls[3].id
    assert [bool(call.id) for call in calls] == [True, False, False, True, False]
    assert sum(delta.tokens for delta in deltas) == 7
    assert all(delta.text or delta.tool_calls for delta in deltas[:-1])
    assert list(events[-1].finished.reasons) == [generation.FINISH_REASON_TOOL_CALLS]
    assert [tool["function"]["name"] for tool in llm.template["tools"]] == ["weather", "clock"]
    assert llm.params.skip_special_tokens is False, "what the parser asks of the engine is passed on"


async def test_tokens_whose_text_is_held_back_come_with_the_next_piece() -> None:
    outputs = [Output([Choice(text=text, token_ids=[n])]) for n, text in enumerate(("", "", "yes", "", ""))]
    llm = FakeLlm([*outputs, Output([Choice(finish_reason="stop")])])
    events = await events_of(provider_of(llm, parser_class=FakeParser), spec(tools=[{"name": "a"}]))
    assert [(event.delta.text, list(event.delta.token_ids), event.delta.tokens) for event in events[1:-1]] == [
        ("yes", [0, 1, 2], 3),
        ("", [3, 4], 2),
    ]


async def test_where_one_call_is_allowed_no_second_gets_out() -> None:
    outputs = [Output([Choice(text=text, token_ids=[1])]) for text in ("?a", "{}", "?b", "{}")]
    llm = FakeLlm([*outputs, Output([Choice(finish_reason="stop")])])
    asked = spec(tools=[{"name": "a"}, {"name": "b"}], parallel_tool_calls=False)
    events = await events_of(provider_of(llm, parser_class=FakeParser), asked)
    assert {call.index for event in events for call in event.delta.tool_calls} == {0}


async def test_a_call_that_was_cut_by_the_limit_is_not_called_whole() -> None:
    llm = FakeLlm([Output([Choice(text="?a", token_ids=[1])]), Output([Choice(text="{", finish_reason="length")])])
    events = await events_of(provider_of(llm, parser_class=FakeParser), spec(tools=[{"name": "a"}]))
    assert list(events[-1].finished.reasons) == [generation.FINISH_REASON_LENGTH]


async def test_without_tools_in_the_request_an_answer_is_text_and_never_parsed() -> None:
    llm = FakeLlm([Output([Choice(text="?no call", token_ids=[1], finish_reason="stop")])])
    events = await events_of(provider_of(llm, parser_class=FakeParser), spec())
    assert events[1].delta.text == "?no call"
    assert "tools" not in llm.template


async def test_thinking_is_kept_apart_and_counted() -> None:
    outputs = [Output([Choice(text=text, token_ids=[1, 2])]) for text in ("~hm", "~so", "yes")]
    llm = FakeLlm([*outputs, Output([Choice(finish_reason="stop")])])
    events = await events_of(provider_of(llm, parser_class=ThinkingParser), spec())
    assert [(event.delta.reasoning, event.delta.text) for event in events[1:-1]] == [
        ("hm", ""),
        ("so", ""),
        ("", "yes"),
    ]
    usage = events[-1].finished.usage
    assert (usage.output_tokens, usage.reasoning_tokens) == (6, 4)
    assert llm.more["reasoning_ended"] is False


async def test_effort_is_offered_where_the_template_knows_it_and_reaches_it() -> None:
    llm = FakeLlm(list(HELLO))
    provider = provider_of(llm, parser_class=ThinkingParser, chat_template="{% if enable_thinking %}")
    assert model.CAPABILITY_REASONING_EFFORT in provider.models[0].capabilities
    await events_of(provider, spec(reasoning_effort="none"))
    assert llm.template["enable_thinking"] is False
    without = provider_of(FakeLlm([]), parser_class=ThinkingParser, chat_template="{{ messages }}")
    assert model.CAPABILITY_REASONING_EFFORT not in without.models[0].capabilities


async def test_callers_share_no_cache_of_prompts() -> None:
    llm = FakeLlm(list(HELLO))
    provider = provider_of(llm)
    for tenant in ("a/1", "a/1", "b", ""):
        async for _ in provider.generate(spec(), AttemptContext(tenant=tenant)):
            pass
    first, again, other, nobody = [extras.get("cache_salt") for extras in llm.extras]
    assert first == again != other
    assert nobody is None
    assert engine.salted("a/1")["cache_salt"].isalnum(), "the engine refuses slashes in a salt"


def prompted(**prompt: Any) -> generation.GenerationSpec:
    return generation.GenerationSpec(model="m", prompt=prompt)


async def test_a_prompt_is_tokenized_as_it_is_and_begins_as_the_tokenizer_has_it() -> None:
    llm = FakeLlm(list(HELLO))
    events = await events_of(provider_of(llm), prompted(text="Hi"))
    assert [event.WhichOneof("event") for event in events] == ["started", "delta", "delta", "finished"]
    assert llm.rendered == [], "no template is put around it"
    assert llm.prompt == {"prompt_token_ids": [ord("H"), ord("i")]}
    assert llm.tokenizing is not None
    assert llm.tokenizing.add_special_tokens is True, "whatever the model's processor says of chats"
    assert llm.params.max_tokens == 18


async def test_token_ids_reach_the_engine_as_they_are_and_are_salted() -> None:
    llm = FakeLlm(list(HELLO))
    provider = provider_of(llm, adapters={"law": "the adapter"})
    asked = prompted(token_ids={"ids": [5, 7]})
    asked.model = "law"
    async for _ in provider.generate(asked, AttemptContext(tenant="a")):
        pass
    assert llm.prompt == {"prompt_token_ids": [5, 7]}
    assert llm.extras == [engine.salted("a")]
    assert llm.more == {"lora_request": "the adapter"}


async def test_an_answer_to_a_prompt_is_text_alone_and_its_form_applies_from_the_first_token() -> None:
    llm = FakeLlm([Output([Choice(text="~hm", token_ids=[1], finish_reason="stop")])])
    asked = prompted(text="Hi")
    asked.response_format.json_object.SetInParent()
    events = await events_of(provider_of(llm, parser_class=ThinkingParser), asked)
    assert (events[1].delta.text, events[1].delta.reasoning) == ("~hm", "")
    assert llm.more == {"reasoning_ended": True}
    assert llm.params.structured_outputs.json_object is True


async def test_a_prompt_that_is_too_long_is_named() -> None:
    for asked in (prompted(text="much too long"), prompted(token_ids={"ids": range(11)})):
        failure = await failure_of(FakeLlm([]), asked)
        assert (failure.reason, failure.metadata["field"]) == (reasons.ERROR_REASON_CONTEXT_TOO_LONG, "prompt")
    full = prompted(text="ten tokens")
    full.max_output_tokens = 11
    failure = await failure_of(FakeLlm([]), full)
    assert failure.metadata["field"] == "max_output_tokens"


async def test_a_token_that_the_model_does_not_have_names_the_prompt() -> None:
    failure = await failure_of(FakeLlm([InvalidError("Token id 9 is out of vocabulary")]), prompted(text="Hi"))
    assert (failure.reason, failure.metadata["field"]) == (reasons.ERROR_REASON_SPEC_INVALID, "prompt")


def test_a_model_that_generates_completes_prompts_of_text_and_of_ids_and_one_that_embeds_does_not() -> None:
    (generates,) = provider_of(FakeLlm([])).models
    assert {model.CAPABILITY_COMPLETIONS, model.CAPABILITY_TOKEN_INPUTS} <= set(generates.capabilities)
    (embeds,) = provider_of(FakeLlm([]), tasks=["embed"]).models
    with pytest.raises(Failure) as caught:
        capabilities.check(capabilities.required(prompted(text="Hi")), embeds.capabilities, name="m", provider="w")
    assert "cannot complete prompts" in caught.value.message
