"""Going on with an answer that another engine began."""

import contextlib
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.worker.v1 import session_pb2 as session

from services.chassis.failure import Failure
from services.workers.provider import AttemptContext
from services.workers.vllm.provider import VllmEngine
from tests.workers.vllm.fakes import Choice, FakeDetokenizer, FakeLlm, Output, ThinkingParser, fake_engine, spec

END = 0  # the token that ends an answer of the fake model, whose other tokens are bytes


def outputs(ids: Sequence[int], *, limit: int = 0) -> list[Output]:
    """What an engine puts out that says these tokens, one at a time; without their text."""
    last = "length" if limit else "stop"
    return [
        Output(
            [Choice(token_ids=[token], finish_reason=last if place == len(ids) else None)], finished=place == len(ids)
        )
        for place, token in enumerate(ids, start=1)
    ]


async def go_on(
    said: tuple[Sequence[int], str], llm: FakeLlm, asked: generation.GenerationSpec, **fields: Any
) -> list[generation.GenerationEvent]:
    provider = VllmEngine(fake_engine(llm, end_tokens=(END,), **fields), "m", ("generate",))
    context = AttemptContext(tenant="t", continuation=session.Continuation(token_ids=said[0], text=said[1]))
    async with contextlib.aclosing(provider.generate(asked, context)) as events:
        return [event async for event in events]


def text_of(events: Sequence[generation.GenerationEvent]) -> str:
    return "".join(event.delta.text for event in events)


def told(ids: Sequence[int], stop: Sequence[str] = ()) -> tuple[list[str], bool]:
    """What the caller has had after each token, as an engine that says them all would have told it."""
    detokenizer = FakeDetokenizer(generation.SamplingParams(stop=stop))
    had, over = [""], False
    for token in ids:
        over = detokenizer.update([token], token == END) is not None or token == END
        had.append(detokenizer.get_next_output_text(over, False))
        if over:
            break
    return had, over


async def test_the_tokens_follow_the_prompt_and_the_limits_are_what_is_left() -> None:
    llm = FakeLlm(outputs([*b"lo", END]))
    asked = spec(max_output_tokens=9, provider_options_json='{"min_tokens": 3}', sampling={"seed": 5, "stop": ["!"]})
    events = await go_on((b"Hel", "Hel"), llm, asked)
    assert llm.prompt["prompt_token_ids"] == [0, 1, 2, *b"Hel"]
    assert "cache_salt" in llm.extras[0]
    assert (llm.params.max_tokens, llm.params.min_tokens, llm.params.seed, llm.params.detokenize) == (6, 0, 8, False)
    assert not hasattr(llm.params, "stop")
    assert text_of(events) == "lo"
    finished = events[-1].finished
    assert list(finished.reasons) == [generation.FINISH_REASON_STOP]
    assert (finished.usage.input_tokens, finished.usage.output_tokens) == (3, 3)
    assert not llm.unfinished


async def test_cached_tokens_of_what_was_said_are_none_of_the_prompt() -> None:
    (only,) = outputs([END])
    only.num_cached_tokens = 5
    events = await go_on((b"Hel", "Hel"), FakeLlm([only]), spec())
    assert events[-1].finished.usage.cached_tokens == 3


@pytest.mark.parametrize("seed", range(60))
async def test_wherever_it_broke_off_nothing_is_repeated_or_lost(seed: int) -> None:
    rng = random.Random(seed)
    text = "".join(rng.choices("aäb€😀 .", k=rng.randrange(1, 5)))  # 17 tokens at most: the context
    ids = [*text.encode(), END]
    stop = rng.choice([(), (".",), ("b a", "€😀"), ("zzzz",)])
    had, _ = told(ids, stop)
    cut = rng.randrange(1, len(had))
    asked = spec(sampling={"stop": stop})
    # A worker sends no more after the end: what may be lost then is the event that says so.
    script = outputs(ids[cut:]) if cut < len(had) - 1 else []
    events = await go_on((ids[:cut], had[cut]), FakeLlm(script), asked, admitted=0)
    assert had[cut] + text_of(events) == had[-1]
    assert list(events[-1].finished.reasons) == [generation.FINISH_REASON_STOP]
    said_now = [token for event in events for token in event.delta.token_ids]
    assert said_now == ids[cut : len(had) - 1]
    assert events[-1].finished.usage.output_tokens == len(said_now)
    assert events[0].HasField("started")


async def test_an_answer_at_its_limit_ends_and_says_what_was_held_back() -> None:
    llm = FakeLlm([])
    asked = spec(max_output_tokens=3, sampling={"stop": ["lo!"]})
    events = await go_on((b"Hel", "H"), llm, asked)
    assert text_of(events) == "el"
    assert list(events[-1].finished.reasons) == [generation.FINISH_REASON_LENGTH]
    assert (events[-1].finished.usage.input_tokens, events[-1].finished.usage.output_tokens) == (3, 0)
    assert llm.prompt is None


async def test_a_stop_text_of_which_the_engine_knows_nothing_ends_the_work_there() -> None:
    llm = FakeLlm(outputs(b"lo, world"))
    events = await go_on((b"Hel", "He"), llm, spec(sampling={"stop": ["lo"]}))
    assert text_of(events) == "l"
    assert bytes(token for event in events for token in event.delta.token_ids) == b"lo"
    assert not llm.unfinished


async def test_past_the_end_that_the_caller_ignores_it_goes_on() -> None:
    llm = FakeLlm(outputs(b"a", limit=1))
    asked = spec(max_output_tokens=3, provider_options_json='{"ignore_eos": true}')
    events = await go_on(([97, END], "a\0"), llm, asked)
    assert text_of(events) == "a"


@pytest.mark.parametrize(
    "fields",
    [
        {"choices": 2},
        {"logprobs": {}},
        {"sampling": {"presence_penalty": 1.0}},
        {"sampling": {"frequency_penalty": -1.0}},
        {"provider_options_json": '{"bad_words": ["x y"]}'},
        {"provider_options_json": '{"structured_outputs": {"regex": "a+"}}'},
        {"response_format": {"json_object": {}}},
    ],
)
async def test_what_would_not_be_exact_is_refused(fields: dict[str, Any]) -> None:
    llm = FakeLlm(outputs(b"a"))
    with pytest.raises(Failure) as caught:
        await go_on((b"Hel", "Hel"), llm, spec(**fields))
    assert (caught.value.reason, caught.value.metadata["field"]) == (
        reasons.ERROR_REASON_UNSUPPORTED,
        "continuation",
    )
    assert llm.prompt is None


async def test_a_model_that_thinks_goes_on_with_no_conversation() -> None:
    with pytest.raises(Failure) as caught:
        await go_on((b"Hel", "Hel"), FakeLlm(outputs(b"a")), spec(), parser_class=ThinkingParser)
    assert caught.value.reason == reasons.ERROR_REASON_UNSUPPORTED


@pytest.mark.parametrize("said", [(b"Hel", "Hal"), (b"Hel", "Hello"), (b"", "")])
async def test_a_text_that_is_not_that_of_its_tokens_is_refused(said: tuple[bytes, str]) -> None:
    with pytest.raises(Failure) as caught:
        await go_on(said, FakeLlm(outputs(b"a")), spec())
    assert caught.value.reason == reasons.ERROR_REASON_UNSUPPORTED


async def test_a_penalty_on_repetition_counts_prompt_and_answer_alike_and_stays() -> None:
    llm = FakeLlm(outputs([END]))
    await go_on((b"Hel", "Hel"), llm, spec(provider_options_json='{"repetition_penalty": 1.3}'))
    assert llm.params.repetition_penalty == 1.3
