"""A spec in the engine's terms."""

import json
from typing import Any

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.failure import Failure
from services.workers.vllm import translation
from tests.workers.vllm.fakes import spec


def arguments(
    asked: generation.GenerationSpec, *, prompt_tokens: int = 5, context_tokens: int = 20, **defaults: Any
) -> dict[str, Any]:
    return translation.sampling_arguments(asked, defaults, prompt_tokens=prompt_tokens, context_tokens=context_tokens)


def failure_of(asked: generation.GenerationSpec, **lengths: int) -> Failure:
    with pytest.raises(Failure) as caught:
        arguments(asked, **lengths)
    return caught.value


def test_what_is_absent_is_left_to_the_model() -> None:
    assert arguments(spec()) == {"max_tokens": 15}
    assert arguments(spec(), temperature=0.6, top_k=20) == {"temperature": 0.6, "top_k": 20, "max_tokens": 15}


def test_what_is_given_wins_even_where_it_is_zero() -> None:
    asked = spec(sampling={"temperature": 0.0, "frequency_penalty": 0.0, "seed": 0}, logprobs={"top": 0})
    assert arguments(asked, temperature=0.6, frequency_penalty=1.0) == {
        "temperature": 0.0,
        "frequency_penalty": 0.0,
        "seed": 0,
        "logprobs": 0,
        "max_tokens": 15,
    }


def test_every_way_to_sample_reaches_the_engine() -> None:
    asked = spec(
        sampling={
            "top_p": 0.5,
            "top_k": 3,
            "presence_penalty": -1.0,
            "stop": ["a", "b"],
            "logit_bias": {7: -100.0},
        },
        choices=2,
        max_output_tokens=4,
    )
    assert arguments(asked) == {
        "top_p": 0.5,
        "top_k": 3,
        "presence_penalty": -1.0,
        "stop": ["a", "b"],
        "logit_bias": {7: -100.0},
        "n": 2,
        "max_tokens": 4,
    }


def test_several_greedy_choices_are_drawn_from_the_likeliest_token() -> None:
    made = arguments(spec(sampling={"temperature": 0.0, "top_k": 50}, choices=2))
    assert (made["temperature"], made["top_k"], made["n"]) == (1.0, 1, 2)


def test_minus_one_is_a_seed_like_any_other() -> None:
    assert arguments(spec(sampling={"seed": -1}))["seed"] not in (-1, None)


@given(
    prompt=st.integers(0, 50),
    context=st.integers(1, 50),
    asked=st.none() | st.integers(1, 60),
    default=st.none() | st.integers(1, 60),
)
def test_prompt_and_answer_fit_the_context_or_a_field_is_named(
    prompt: int, context: int, asked: int | None, default: int | None
) -> None:
    request = spec() if asked is None else spec(max_output_tokens=asked)
    defaults = {} if default is None else {"max_tokens": default}
    if prompt + (asked or 1) > context:
        failure = failure_of(request, prompt_tokens=prompt, context_tokens=context)
        assert failure.reason == reasons.ERROR_REASON_CONTEXT_TOO_LONG
        assert failure.metadata == {"model": "m", "field": "messages" if prompt >= context else "max_output_tokens"}
    else:
        made = arguments(request, prompt_tokens=prompt, context_tokens=context, **defaults)
        assert 1 <= made["max_tokens"] <= context - prompt
        assert asked is None or made["max_tokens"] == asked


def test_a_schema_reaches_the_engine_as_it_was_written() -> None:
    schema = '{"type": "object",  "properties": {"z": {"maximum": 9007199254740993}, "a": {}}}'
    asked = spec(response_format={"json_schema": {"schema_json": schema}})
    assert arguments(asked)["structured_outputs"] == {"json": schema}


def test_any_json_object_can_be_asked_for_and_free_text_asks_for_nothing() -> None:
    assert arguments(spec(response_format={"json_object": {}}))["structured_outputs"] == {"json_object": True}
    assert "structured_outputs" not in arguments(spec(response_format={"text": {}}))


@pytest.mark.parametrize("schema", ["", "{", "[]", '"object"', "[" * 100_000])
def test_a_schema_that_is_no_json_object_is_named(schema: str) -> None:
    failure = failure_of(spec(response_format={"json_schema": {"schema_json": schema}}))
    assert failure.reason == reasons.ERROR_REASON_SPEC_INVALID
    assert failure.metadata["field"] == "response_format.json_schema.schema_json"


@pytest.mark.parametrize(
    ("asked", "reason", "field"),
    [
        (spec(max_output_tokens=0), reasons.ERROR_REASON_SPEC_INVALID, "max_output_tokens"),
        (spec(choices=0), reasons.ERROR_REASON_SPEC_INVALID, "choices"),
        (spec(choices=9), reasons.ERROR_REASON_SPEC_INVALID, "choices"),
    ],
)
def test_what_can_never_run_is_refused_before_rendering(
    asked: generation.GenerationSpec, reason: int, field: str
) -> None:
    with pytest.raises(Failure) as caught:
        translation.check(asked, admitted=8)
    assert (caught.value.reason, caught.value.metadata["field"]) == (reason, field)


def test_provider_options_reach_the_engine_beside_the_rest_and_one_form_is_enough() -> None:
    asked = spec(provider_options_json='{"min_p": 0.1, "ignore_eos": true}', sampling={"top_k": 4})
    assert arguments(asked, min_p=0.5) == {"min_p": 0.1, "ignore_eos": True, "top_k": 4, "max_tokens": 15}
    twice = spec(provider_options_json='{"structured_outputs": {"choice": ["a"]}}', response_format={"json_object": {}})
    assert failure_of(twice).metadata["field"] == "response_format"


def test_as_many_choices_as_the_engine_takes_in_are_allowed() -> None:
    translation.check(spec(choices=8), admitted=8)
    translation.check(spec(choices=1000), admitted=0)


@given(st.dictionaries(st.text(), st.integers() | st.text()))
def test_every_json_object_passes_as_a_schema(schema: dict[str, Any]) -> None:
    text = json.dumps(schema)
    asked = generation.ResponseFormat(json_schema=generation.JsonSchemaFormat(schema_json=text))
    assert translation.structured_outputs(asked) == {"json": text}
