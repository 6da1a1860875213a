"""What a spec needs, field by field."""

import pytest
from google.protobuf import text_format
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model

from services.chassis.failure import Failure
from services.inference.capabilities import DROPPABLE, check, required, required_by_embedding, without_unsupported

_ALL = tuple(model.Capability.values())


def _spec(text: str) -> generation.GenerationSpec:
    return text_format.Parse(f'model: "m" {text}', generation.GenerationSpec())


_NEEDS = [
    ("tools {name: 't'}", model.CAPABILITY_TOOLS, "tools"),
    ("response_format {json_object {}}", model.CAPABILITY_JSON_OBJECT, "response_format"),
    ("response_format {json_schema {}}", model.CAPABILITY_JSON_SCHEMA, "response_format"),
    ("logprobs {}", model.CAPABILITY_LOGPROBS, "logprobs"),
    ("choices: 2", model.CAPABILITY_CHOICES, "choices"),
    ("reasoning_effort: 'none'", model.CAPABILITY_REASONING_EFFORT, "reasoning_effort"),
    ("sampling {seed: 0}", model.CAPABILITY_SEED, "sampling.seed"),
    ("sampling {frequency_penalty: 0}", model.CAPABILITY_PENALTIES, "sampling.frequency_penalty"),
    ("sampling {presence_penalty: 0}", model.CAPABILITY_PENALTIES, "sampling.presence_penalty"),
    ("sampling {logit_bias {key: 1 value: 0}}", model.CAPABILITY_LOGIT_BIAS, "sampling.logit_bias"),
    ("sampling {top_k: 1}", model.CAPABILITY_TOP_K, "sampling.top_k"),
    ("sampling {stop: 'x'}", model.CAPABILITY_STOP, "sampling.stop"),
    ("messages {} messages {parts {image {}}}", model.CAPABILITY_IMAGES, "messages[1]"),
    ("messages {parts {text: 'x'} parts {file {}}}", model.CAPABILITY_FILES, "messages[0]"),
    ("messages {parts {tool_call {}}}", model.CAPABILITY_TOOLS, "messages[0]"),
    ("messages {} messages {parts {tool_result {}}}", model.CAPABILITY_TOOLS, "messages[1]"),
    ("provider_options_json: '{}'", model.CAPABILITY_PROVIDER_OPTIONS, "provider_options_json"),
    ("provider_options_json: '{\"a\": 1}'", model.CAPABILITY_PROVIDER_OPTIONS, "provider_options_json.a"),
    ("tools {name: 't'} messages {parts {tool_call {}}}", model.CAPABILITY_TOOLS, "tools"),
]


@pytest.mark.parametrize(("text", "capability", "field"), _NEEDS)
def test_a_field_needs_its_capability(text: str, capability: "model.Capability.ValueType", field: str) -> None:
    assert required(_spec(text)) == {model.CAPABILITY_CHAT: "messages", capability: field}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "choices: 1",
        "max_output_tokens: 5",
        "sampling {temperature: 0 top_p: 1}",
        "response_format {text {}}",
        "messages {parts {text: 'x'} parts {reasoning {}}}",
        "user: 'u'",
    ],
)
def test_what_every_provider_can_do_needs_nothing_more(text: str) -> None:
    assert required(_spec(text)) == {model.CAPABILITY_CHAT: "messages"}


@pytest.mark.parametrize(("text", "capability", "field"), _NEEDS)
def test_a_refusal_names_field_model_and_provider(
    text: str, capability: "model.Capability.ValueType", field: str
) -> None:
    spec = _spec(text)
    check(required(spec), _ALL, name="m", provider="far")
    offered = [one for one in _ALL if one != capability]
    with pytest.raises(Failure) as caught:
        check(required(spec), offered, name="m", provider="far")
    failure = caught.value
    assert failure.reason == reasons.ERROR_REASON_UNSUPPORTED
    name = model.Capability.Name(capability).removeprefix("CAPABILITY_").lower()
    assert failure.metadata == {"field": field, "model": "m", "provider": "far", "capability": name}
    assert f"`{field}`" in failure.message
    assert "far" in failure.message


def test_every_capability_of_a_generation_is_asked_for_by_some_field() -> None:
    asked = {capability for _, capability, _ in _NEEDS}
    of_embeddings = set(required_by_embedding(_EMBEDDING)) - {model.CAPABILITY_PROVIDER_OPTIONS}
    of_prompts = {model.CAPABILITY_COMPLETIONS}
    assert asked == set(_ALL) - {model.CAPABILITY_UNSPECIFIED, model.CAPABILITY_CHAT} - of_embeddings - of_prompts


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("prompt {text: 'x'}", {model.CAPABILITY_COMPLETIONS: "prompt"}),
        (
            "prompt {token_ids {ids: 1}}",
            {model.CAPABILITY_COMPLETIONS: "prompt", model.CAPABILITY_TOKEN_INPUTS: "prompt.token_ids"},
        ),
        (
            "prompt {text: 'x'} logprobs {}",
            {model.CAPABILITY_COMPLETIONS: "prompt", model.CAPABILITY_LOGPROBS: "logprobs"},
        ),
    ],
)
def test_a_prompt_needs_completions_and_no_chat(text: str, needs: dict[int, str]) -> None:
    assert required(_spec(text)) == needs


_EMBEDDING = text_format.Parse(
    "model: 'm' dimensions: 3 inputs {text: 'x'} inputs {token_ids {ids: 1}} provider_options_json: '{\"a\": 1}'",
    embedding.EmbeddingSpec(),
)


def test_what_an_embedding_needs_is_named_by_its_fields() -> None:
    assert required_by_embedding(embedding.EmbeddingSpec(model="m")) == {model.CAPABILITY_EMBEDDINGS: "model"}
    assert required_by_embedding(_EMBEDDING) == {
        model.CAPABILITY_EMBEDDINGS: "model",
        model.CAPABILITY_DIMENSIONS: "dimensions",
        model.CAPABILITY_TOKEN_INPUTS: "inputs[1]",
        model.CAPABILITY_PROVIDER_OPTIONS: "provider_options_json.a",
    }


def test_of_an_embedding_only_options_are_ever_left_out() -> None:
    needs = required_by_embedding(_EMBEDDING)
    rest, dropped = without_unsupported(_EMBEDDING, needs, [])
    assert dropped == ["provider_options_json"]
    assert set(needs) - set(required_by_embedding(rest)) == {model.CAPABILITY_PROVIDER_OPTIONS}


@pytest.mark.parametrize(("text", "capability", "field"), _NEEDS)
def test_only_parameters_are_ever_left_out(text: str, capability: "model.Capability.ValueType", field: str) -> None:
    spec = _spec(text)
    before = spec.SerializeToString()
    rest, dropped = without_unsupported(spec, required(spec), [one for one in _ALL if one != capability])
    assert spec.SerializeToString() == before
    if capability in DROPPABLE:
        assert dropped == [field.partition("_json")[0] + "_json" if "options" in field else field]
        assert capability not in required(rest)
    else:
        assert (rest, dropped) == (spec, [])
