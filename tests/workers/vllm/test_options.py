"""Sampling parameters of vLLM's own API."""

import json
from typing import Any

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.workers.vllm.options import sampling_options


def failure_of(options: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        sampling_options(options if isinstance(options, str) else json.dumps(options), model="m")
    return caught.value


def test_what_only_shapes_the_sampling_is_passed_on() -> None:
    options = {
        "min_p": 0.1,
        "repetition_penalty": 1,
        "min_tokens": 3,
        "ignore_eos": True,
        "stop_token_ids": [1, 2],
        "include_stop_str_in_output": True,
        "skip_special_tokens": False,
        "spaces_between_special_tokens": False,
        "bad_words": ["foul"],
        "allowed_token_ids": [5],
    }
    assert sampling_options(json.dumps(options), model="m") == options
    assert sampling_options("", model="m") == {}


@pytest.mark.parametrize("form", [{"regex": "a+"}, {"choice": ["a", "b"]}, {"grammar": 'root ::= "a"'}])
def test_forms_that_the_contract_has_no_word_for_are_passed_on(form: dict[str, Any]) -> None:
    given = {"structured_outputs": form}
    assert sampling_options(json.dumps(given), model="m") == given


@pytest.mark.parametrize(
    "name",
    [
        "chat_template",
        "chat_template_kwargs",
        "prompt_embeds",
        "cache_salt",
        "logits_processors",
        "vllm_xargs",
        "kv_transfer_params",
        "priority",
        "max_tokens",
        "temperature",
        "n",
        "guided_json",
        "use_beam_search",
        "mm_processor_kwargs",
    ],
)
def test_everything_else_is_refused_by_name(name: str) -> None:
    failure = failure_of({name: 1})
    assert failure.reason == reasons.ERROR_REASON_UNSUPPORTED
    assert failure.metadata == {"field": f"provider_options_json.{name}", "model": "m", "provider": "vllm"}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"min_p": 2}, "min_p"),
        ({"min_p": True}, "min_p"),
        ({"ignore_eos": "yes"}, "ignore_eos"),
        ({"stop_token_ids": [-1]}, "stop_token_ids.0"),
        ({"stop_token_ids": list(range(2000))}, "stop_token_ids"),
        ({"structured_outputs": {}}, "structured_outputs"),
        ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs"),
    ],
)
def test_a_bad_value_is_named_and_not_quoted(options: dict[str, Any], field: str) -> None:
    failure = failure_of(options)
    assert (failure.reason, failure.metadata["field"]) == (
        reasons.ERROR_REASON_SPEC_INVALID,
        f"provider_options_json.{field}",
    )


@pytest.mark.parametrize("text", ["[]", "{", "1"])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    assert failure_of(text).metadata["field"] == "provider_options_json"
