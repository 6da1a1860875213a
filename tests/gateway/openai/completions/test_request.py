"""The body of a completion, as a spec for each prompt."""

import json
from typing import Any

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.chassis.failure import Failure
from services.gateway.openai.completions.request import (
    MAX_COPIED_BYTES,
    MAX_PROMPTS,
    CompletionRequest,
    parse_completion,
)
from services.gateway.validate import validate

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
TOKENS = st.lists(st.integers(0, (1 << 32) - 1), min_size=1, max_size=8)
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def completion(**fields: Any) -> CompletionRequest:
    return parse_completion(json.dumps({"model": "m", "prompt": "hi", **fields}).encode())


def only(**fields: Any) -> generation.GenerationSpec:
    """The spec of the only prompt, which is a sound one."""
    (spec,) = completion(**fields).specs
    validate(spec)
    return spec


def refused(**fields: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        completion(**fields)
    assert caught.value.reason == reasons.ERROR_REASON_SPEC_INVALID
    return caught.value


def test_the_least_request_is_16_tokens_of_one_choice() -> None:
    asked = completion()
    assert (asked.model, asked.choices, asked.stream, asked.include_usage) == ("m", 1, False, False)
    assert list(asked.specs) == [
        generation.GenerationSpec(model="m", prompt=generation.Prompt(text="hi"), max_output_tokens=16)
    ]
    assert asked.echoed == [""]


@given(st.one_of(TEXTS, st.lists(TEXTS, min_size=1), TOKENS, st.lists(TOKENS, min_size=1)))
def test_each_prompt_is_a_spec_of_its_own_in_order(prompt: Any) -> None:
    one = isinstance(prompt, str) or isinstance(prompt[0], int)
    specs = completion(prompt=prompt, seed=7).specs
    given = [spec.prompt.text or list(spec.prompt.token_ids.ids) for spec in specs]
    assert given == ([prompt] if one else prompt)
    assert {spec.sampling.seed for spec in specs} == {7}
    for spec in specs:
        validate(spec)


@pytest.mark.parametrize(
    ("prompt", "field"),
    [
        (None, "prompt"),
        ("", "prompt"),
        ([], "prompt"),
        ({}, "prompt"),
        (["a", ""], "prompt[1]"),
        ([[1], []], "prompt[1]"),
        ([1, -1], "prompt[1]"),
        ([1, 1.5], "prompt[1]"),
        ([[1, "x"]], "prompt[0][1]"),
        ([True], "prompt[0]"),
        (["a"] * (MAX_PROMPTS + 1), "prompt"),
    ],
)
def test_a_prompt_that_is_none_is_refused_by_its_place(prompt: Any, field: str) -> None:
    failure = refused(prompt=prompt)
    assert failure.metadata["field"] == field
    assert f"`{field}`" in failure.message


def test_what_is_said_becomes_the_spec() -> None:
    spec = only(
        max_tokens=5, n=2, best_of=2, temperature=0.5, top_p=0.9, seed=-3, frequency_penalty=1, presence_penalty=-1,
        stop=["a", "b"], logit_bias={"1": -100}, logprobs=3, user="u", response_format={"type": "json_object"},
    )  # fmt: skip
    assert (spec.max_output_tokens, spec.choices, spec.logprobs.top, spec.user) == (5, 2, 3, "u")
    sampling = spec.sampling
    assert (sampling.temperature, sampling.top_p, sampling.seed) == (0.5, 0.9, -3)
    assert (sampling.frequency_penalty, sampling.presence_penalty) == (1, -1)
    assert (list(sampling.stop), dict(sampling.logit_bias)) == (["a", "b"], {1: -100})
    assert spec.response_format.HasField("json_object")
    assert not spec.provider_options_json


def test_no_alternatives_are_still_log_probabilities() -> None:
    assert only(logprobs=0).HasField("logprobs")
    assert not only(logprobs=None).HasField("logprobs")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", (1 << 24) + 1),
        ("stream_options", 3),
        ("logprobs", 21),
        ("logprobs", True),
        ("best_of", 2),
        ("echo", "yes"),
        ("suffix", 3),
        ("stream", "yes"),
        ("max_completion_tokens", 5),
        ("top_logprobs", 2),
        ("messages", []),
        ("tools", []),
        ("tool_choice", "none"),
        ("reasoning_effort", "low"),
        ("store", True),
    ],
)
def test_what_this_api_does_not_have_is_refused_under_the_name_that_was_used(field: str, value: Any) -> None:
    failure = refused(**{field: value})
    assert failure.metadata["field"] == field
    assert f"`{field}`" in failure.message


@pytest.mark.parametrize("harmless", [{"best_of": 1}, {"n": 3, "best_of": 3}, {"suffix": ""}, {"echo": False}])
def test_what_asks_for_nothing_is_no_mistake(harmless: dict[str, Any]) -> None:
    assert not only(**harmless).provider_options_json


def test_fields_beyond_the_contract_are_for_the_provider_to_judge() -> None:
    spec = only(min_p=0.1, suffix="end", echo={"tokens": 3}, metadata={"a": "b"})
    assert json.loads(spec.provider_options_json) == {"min_p": 0.1, "suffix": "end", "echo": {"tokens": 3}}


def test_an_echo_is_the_text_of_each_prompt() -> None:
    assert completion(prompt=["a", "b"], echo=True).echoed == ["a", "b"]
    assert completion(prompt=["a", "b"]).echoed == ["", ""]


@pytest.mark.parametrize("fields", [{"logprobs": 0}, {"prompt": [1, 2]}])
def test_an_echo_that_cannot_be_told_is_refused(fields: dict[str, Any]) -> None:
    assert refused(echo=True, **fields).metadata["field"] == "echo"


def test_too_many_prompts_are_refused_before_any_is_looked_at() -> None:
    failure = refused(prompt=[{}] * (MAX_PROMPTS + 1))
    assert failure.metadata["field"] == "prompt"
    assert f"at most {MAX_PROMPTS}" in failure.message


def test_options_that_go_with_each_of_several_prompts_are_bounded_together() -> None:
    options = {"more": "x" * (MAX_COPIED_BYTES // MAX_PROMPTS)}
    assert refused(prompt=["a"] * MAX_PROMPTS, **options).metadata["field"] == "prompt"
    assert len(completion(prompt=["a"] * (MAX_PROMPTS - 1), **options).specs) == MAX_PROMPTS - 1
    assert completion(prompt="a", more="x" * MAX_COPIED_BYTES).specs


def test_usage_is_of_streams() -> None:
    assert completion(stream=True, stream_options={"include_usage": True}).include_usage
    assert not completion(stream_options={"include_usage": True}).include_usage


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        *("model", "prompt", "max_tokens", "n", "best_of", "logprobs", "echo", "suffix", "stream", "stream_options"),
        *("response_format", "stop", "seed", "logit_bias", "temperature", "user", "metadata", "min_p"),
    ]
)


def read(fields: dict[str, Any]) -> tuple[CompletionRequest | None, Failure | None]:
    try:
        return completion(**fields), None
    except Failure as failure:
        return None, failure


@PATIENT
@given(st.dictionaries(NAMES, ANYTHING, max_size=5))
def test_whatever_comes_is_a_request_or_a_failure_with_a_field(fields: dict[str, Any]) -> None:
    asked, failure = read(fields)
    if failure is not None:
        assert failure.reason == reasons.ERROR_REASON_SPEC_INVALID
        assert failure.metadata["field"]
    if asked is not None:
        assert len(asked.specs) == len(asked.echoed)
        assert all(spec.HasField("prompt") and spec.max_output_tokens for spec in asked.specs)
