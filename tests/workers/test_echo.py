"""The echo provider: deterministic, in step, and faulty on demand."""

import asyncio
import contextlib
import json
import math
import pathlib
from typing import Any

import pytest
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from services.config.provider import EchoProvider
from services.workers import echo
from services.workers.echo import Echo
from services.workers.provider import AttemptContext


def provider(**settings: Any) -> Echo:
    return Echo(EchoProvider.model_validate({"kind": "echo", **settings}))


def spec(text: str = "one two  three\n", **script: Any) -> generation.GenerationSpec:
    message = conversation.Message(role=conversation.ROLE_USER, parts=[conversation.Part(text=text)])
    options = json.dumps({"echo": script}) if script else ""
    return generation.GenerationSpec(model="echo", messages=[message], provider_options_json=options)


async def collect(into: list[generation.GenerationEvent], echoing: Echo, asked: generation.GenerationSpec) -> None:
    async with contextlib.aclosing(echoing.generate(asked, AttemptContext())) as events:
        async for event in events:
            into.append(event)  # noqa: PERF401 (what came before a failure counts)


async def run(echoing: Echo, asked: generation.GenerationSpec) -> list[generation.GenerationEvent]:
    async with contextlib.aclosing(echoing.generate(asked, AttemptContext())) as events:
        return [event async for event in events]


def text(events: list[generation.GenerationEvent], choice: int = 0) -> str:
    return "".join(event.delta.text for event in events if event.HasField("delta") and event.delta.choice == choice)


async def test_the_last_message_of_the_user_comes_back_word_for_word() -> None:
    asked = spec("ignored")
    asked.messages.add(role=conversation.ROLE_ASSISTANT).parts.add(text="an answer")
    asked.messages.add(role=conversation.ROLE_USER).parts.add(text="one two  three\n")
    asked.messages.add(role=conversation.ROLE_TOOL).parts.add(text="not this")
    events = await run(provider(), asked)
    assert text(events) == "one two  three\n"
    assert events[0].started.provider_model == "echo"
    usage = events[-1].finished.usage
    assert (usage.input_tokens, usage.output_tokens) == (1 + 2 + 4 + 2, 4)
    assert events[-1].finished.reasons == [generation.FINISH_REASON_STOP]
    assert events == await run(provider(), asked)


async def test_a_prompt_goes_on_with_its_own_words_and_an_id_is_a_word() -> None:
    events = await run(provider(), generation.GenerationSpec(model="echo", prompt={"text": "one two  three"}))
    assert text(events) == "one two  three"
    assert (events[-1].finished.usage.input_tokens, events[-1].finished.usage.output_tokens) == (3, 3)
    events = await run(provider(), generation.GenerationSpec(model="echo", prompt={"token_ids": {"ids": [7, 0]}}))
    assert text(events) == "7 0"
    assert events[-1].finished.usage.input_tokens == 2


async def test_a_scripted_length_repeats_the_words() -> None:
    events = await run(provider(), spec("a b", tokens=5))
    assert text(events) == "a ba ba"


async def test_the_token_limit_ends_the_answer_with_length() -> None:
    asked = spec("one two three")
    asked.max_output_tokens = 2
    events = await run(provider(), asked)
    assert text(events) == "one two"
    assert events[-1].finished.reasons == [generation.FINISH_REASON_LENGTH]
    assert events[-1].finished.usage.output_tokens == 2
    asked.max_output_tokens = 3
    assert (await run(provider(), asked))[-1].finished.reasons == [generation.FINISH_REASON_STOP]


async def test_every_choice_is_given() -> None:
    asked = spec("one two")
    asked.choices = 3
    events = await run(provider(), asked)
    assert [text(events, choice) for choice in range(3)] == ["one two"] * 3
    assert events[-1].finished.reasons == [generation.FINISH_REASON_STOP] * 3
    assert events[-1].finished.usage.output_tokens == 6


async def test_an_empty_prompt_is_answered_with_nothing() -> None:
    events = await run(provider(), spec(""))
    assert [event.WhichOneof("event") for event in events] == ["started", "finished"]


async def test_streams_of_one_pace_step_together() -> None:
    """However differently they begin: the moments at which tokens come are few."""
    loop = asyncio.get_running_loop()
    echoing = provider(token_ms=40.0)
    moments: list[float] = []

    async def listen(late: float) -> None:
        await asyncio.sleep(late)
        async with contextlib.aclosing(echoing.generate(spec(tokens=6), AttemptContext())) as events:
            async for event in events:
                if event.HasField("delta"):
                    moments.append(loop.time())  # noqa: PERF401

    async with asyncio.TaskGroup() as tasks:
        for number in range(8):
            tasks.create_task(listen(number * 0.005))
    steps = {round(moment / 0.04) for moment in moments[8:]}
    assert len(moments) == 48
    assert len(steps) <= 8
    # Each came at its step of the grid, or soon after; a busy machine may make single ones late.
    assert sorted(moment % 0.04 for moment in moments[8:])[len(moments) // 2] < 0.01


@pytest.mark.parametrize(("after", "words"), [(0, ""), (2, "one two"), (3, "one two three")])
async def test_a_scripted_failure_comes_when_told(after: int, words: str) -> None:
    events: list[generation.GenerationEvent] = []
    with pytest.raises(Failure) as caught:
        await collect(events, provider(), spec("one two three", fail="CONTENT_POLICY", fail_after_tokens=after))
    assert caught.value.reason == reasons.ERROR_REASON_CONTENT_POLICY
    assert text(events) == words


@pytest.mark.parametrize(("after", "words"), [(0, ""), (2, "one two"), (3, "one two three")])
async def test_a_scripted_cut_ends_without_a_word_how(after: int, words: str) -> None:
    events = await run(provider(), spec("one two three", cut_after_tokens=after))
    assert text(events) == words
    assert not events[-1].HasField("finished")


async def test_a_scripted_hang_says_nothing_more_and_can_be_closed() -> None:
    echoing = provider()
    events: list[generation.GenerationEvent] = []
    asked = spec("one two three", hang_after_tokens=1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(collect(events, echoing, asked), 0.05)
    assert text(events) == "one"
    assert echoing.running == 0


async def test_a_full_provider_refuses_until_there_is_room() -> None:
    echoing = provider(capacity=1)
    first = echoing.generate(spec(), AttemptContext())
    await anext(first)
    assert echoing.load().running == 1
    with pytest.raises(Failure) as caught:
        await run(echoing, spec())
    assert caught.value.reason == reasons.ERROR_REASON_WORKER_SATURATED
    assert caught.value.retry_after == 1.0
    await first.aclose()
    assert echoing.load().running == 0
    assert text(await run(echoing, spec("x"))) == "x"


async def test_the_faults_of_the_configuration_repeat_from_run_to_run() -> None:
    async def outcomes() -> list[str]:
        echoing = provider(failure_rate=0.3, cut_rate=0.3)
        kinds = []
        for _ in range(50):
            try:
                events = await run(echoing, spec("one two"))
                kinds.append("whole" if events[-1].HasField("finished") else "cut")
            except Failure as failure:
                kinds.append(failure.reason_name)
        return kinds

    first = await outcomes()
    assert first == await outcomes()
    assert set(first) == {"whole", "cut", "PROVIDER_UNAVAILABLE"}
    assert all(5 <= first.count(kind) <= 30 for kind in set(first))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ('{"echo": {"token": 5}}', "provider_options_json.echo.token"),
        ('{"echo": {"tokens": -1}}', "provider_options_json.echo.tokens"),
        ('{"echo": {"fail": "NO_SUCH_REASON"}}', "provider_options_json.echo.fail"),
        ('{"openai": {}}', "provider_options_json.openai"),
        ("{not json", "provider_options_json"),
        ("[]", "provider_options_json"),
    ],
)
async def test_an_option_that_is_wrong_is_named(options: str, field: str) -> None:
    asked = spec()
    asked.provider_options_json = options
    with pytest.raises(Failure) as caught:
        await run(provider(), asked)
    assert caught.value.reason == reasons.ERROR_REASON_UNSUPPORTED
    assert caught.value.metadata == {"field": field, "provider": "echo"}
    assert f"`{field}`" in caught.value.message


async def test_it_claims_to_load_and_serves_its_models() -> None:
    config = EchoProvider(kind="echo", loading_ms=1.0, models=("a", "b"))
    async with echo.open_provider(config) as echoing:
        assert [served.name for served in echoing.models] == ["a", "b"]


async def test_its_vectors_are_of_length_one_and_always_the_same() -> None:
    async with echo.open_provider(EchoProvider(kind="echo")) as echoing:
        inputs = [embedding.EmbeddingInput(text=text) for text in ("one two", "three", "one two")]
        spec = embedding.EmbeddingSpec(model="echo", inputs=inputs, dimensions=4)
        made = await echoing.embed(spec, AttemptContext())
        vectors, usage = made.embeddings, made.usage
        assert vectors[0] == vectors[2] != vectors[1]
        assert [len(vector.values) for vector in vectors] == [4, 4, 4]
        assert math.hypot(*vectors[0].values) == pytest.approx(1)
        assert usage.input_tokens == 5


async def test_faults_in_the_file_hold_while_it_is_there(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "faults.json"
    echoing = provider(faults_file=str(file))
    assert text(await run(echoing, spec())) == "one two  three\n"
    file.write_text('{"failure_rate": 1}', encoding="utf-8")
    with pytest.raises(Failure) as failed:
        await run(echoing, spec())
    assert failed.value.reason == reasons.ERROR_REASON_PROVIDER_UNAVAILABLE
    file.unlink()
    assert text(await run(echoing, spec())) == "one two  three\n"


async def test_a_file_that_makes_no_sense_is_told_of(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "faults.json"
    file.write_text('{"hang_rate": 2}', encoding="utf-8")
    with pytest.raises(Failure, match="hang_rate"):
        await run(provider(faults_file=str(file)), spec())
