"""A spec as a request body."""

import json
from typing import Any, get_args

import orjson
import pytest
from google.protobuf import json_format
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model

from services.chassis.failure import Failure
from services.config.provider import CapabilityName
from services.gateway.openai.chat.request import parse_chat
from services.workers.openai import encode

USER = {"role": "user", "content": "hi"}
ALWAYS = {"stream": True, "stream_options": {"include_usage": True}}


def spec(**fields: Any) -> generation.GenerationSpec:
    given = {"model": "m", "messages": [{"role": "ROLE_USER", "parts": [{"text": "hi"}]}], **fields}
    return json_format.ParseDict(given, generation.GenerationSpec())


def body(asked: generation.GenerationSpec, **names: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(orjson.dumps(encode.body(asked, **names)))  # orjson rounds large integers
    return read


def refused(asked: generation.GenerationSpec) -> Failure:
    with pytest.raises(Failure) as caught:
        encode.body(asked)
    return caught.value


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":  1}'}}
TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "does", "parameters": {"z": 1, "a": 2}, "strict": True},
}
SCHEMA = {"name": "s", "schema": {"type": "object", "maximum": 9007199254740993}, "strict": True, "description": "d"}
WIRE: list[dict[str, Any]] = [
    {},
    {"temperature": 0.5, "top_p": 0.9, "seed": -3, "frequency_penalty": 1.0, "presence_penalty": -1.0},
    {"stop": ["a", "b"], "logit_bias": {"1": -100.0, "12": 5.0}, "top_k": 4},
    {"max_completion_tokens": 9, "n": 2, "logprobs": True, "top_logprobs": 3, "reasoning_effort": "low", "user": "u"},
    {"logprobs": True, "top_logprobs": 0},
    {"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": False},
    {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
    {"tools": [TOOL], "tool_choice": "required"},
    {"tool_choice": "none"},
    {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
    {"response_format": {"type": "json_object"}},
    {"response_format": {"type": "text"}},
    {"min_p": 0.1, "repetition_penalty": 1.5, "structured_outputs": {"regex": "a+"}, "verbosity": "low"},
    {
        "messages": [
            {"role": "system", "content": "be brief", "name": "app"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "calling", "tool_calls": [CALL, CALL | {"id": "c2"}]},
            {"role": "tool", "content": "22", "tool_call_id": "c1"},
            {"role": "tool", "content": "23", "tool_call_id": "c2"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
        ]
    },
    {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQI=", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
                    {"type": "input_audio", "input_audio": {"data": "AQI=", "format": "mp3"}},
                    {"type": "input_audio", "input_audio": {"data": "AQI=", "format": "wav"}},
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AQI="}},
                    {"type": "file", "file": {"file_id": "file-1"}},
                ],
            }
        ]
    },
]


@pytest.mark.parametrize("asked", WIRE, ids=lambda asked: ",".join(asked) or "nothing")
def test_what_a_client_asks_of_the_mesh_is_what_the_server_is_asked(asked: dict[str, Any]) -> None:
    request = {"model": "m", "messages": [USER], **asked}
    assert body(parse_chat(json.dumps(request).encode()).spec) == request | ALWAYS


def test_a_schema_stays_as_it_was_written() -> None:
    schema = '{"b": 1,  "a": 36893488147419103232}'
    asked = spec(responseFormat={"jsonSchema": {"schemaJson": schema}}, tools=[{"name": "f", "parametersJson": schema}])
    assert orjson.dumps(encode.body(asked)).count(schema.encode()) == 2


def test_the_results_of_several_tools_become_messages() -> None:
    parts = [{"toolResult": {"toolCallId": "a", "text": "1"}}]
    parts.append({"toolResult": {"toolCallId": "b", "text": "no", "failed": True}})
    assert body(spec(messages=[{"role": "ROLE_TOOL", "parts": parts}]))["messages"] == [
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "Error: no"},
    ]


def test_earlier_thinking_goes_back_only_under_a_name_that_is_configured() -> None:
    parts = [{"reasoning": {"text": "hm"}}, {"text": "yes"}, {"refusal": "no"}]
    asked = spec(messages=[{"role": "ROLE_ASSISTANT", "parts": parts}])
    content = [{"type": "text", "text": "yes"}, {"type": "refusal", "refusal": "no"}]
    assert body(asked)["messages"] == [{"role": "assistant", "content": content}]
    assert body(asked, reasoning_field="reasoning_content")["messages"][0]["reasoning_content"] == "hm"


def test_the_limit_has_the_name_that_is_configured() -> None:
    assert body(spec(maxOutputTokens=5), max_tokens_field="max_tokens")["max_tokens"] == 5


def test_a_thought_signature_goes_back_where_it_came_from() -> None:
    call = {"id": "a", "name": "f", "argumentsJson": "{}", "signature": "AQI="}
    asked = spec(messages=[{"role": "ROLE_ASSISTANT", "parts": [{"toolCall": call}]}])
    sent = body(asked)["messages"][0]["tool_calls"][0]
    assert sent["extra_content"] == {"google": {"thought_signature": "AQI="}}


@pytest.mark.parametrize(
    "name",
    [
        # what reaches into the server: the CVEs of vLLM, and what SGLang has of that kind
        *("prompt_embeds", "input_embeds", "logits_processors", "custom_logit_processor", "custom_params"),
        *("chat_template", "chat_template_kwargs", "chat_template_content_format", "mm_processor_kwargs"),
        *("media_io_kwargs", "vllm_xargs", "lora_path", "kv_transfer_params", "ec_transfer_params", "session_params"),
        *("bootstrap_host", "bootstrap_port", "bootstrap_room", "data_parallel_rank", "routed_dp_rank", "priority"),
        # what crosses from one caller's cache to another's
        *("cache_salt", "extra_key"),
        # what changes the price and does not show in the usage
        *("service_tier", "speed", "web_search_options", "plugins", "prompt_cache_options", "cache_control", "best_of"),
        "use_beam_search",
        # what takes the request, or our key, elsewhere
        *("models", "route", "provider", "preset", "fallbacks", "api_base", "base_url", "api_key", "user_config"),
        *("context_window_fallbacks", "content_policy_fallbacks", "custom_llm_provider", "extra_headers"),
        # what is kept, is no text, or is the mesh's own
        *("store", "prompt_cache_retention", "audio", "modalities", "request_id", "rid"),
        # what the spec has a field for
        *("model", "messages", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens", "user"),
        *("safety_identifier", "tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort"),
        *("stop", "seed", "temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "logit_bias"),
        *("logprobs", "top_logprobs", "functions", "function_call"),
    ],
)
def test_an_option_that_would_do_harm_is_refused_by_name(name: str) -> None:
    failure = refused(spec(providerOptionsJson=json.dumps({"min_p": 0.1, name: "x"})))
    assert failure.reason == reasons.ERROR_REASON_UNSUPPORTED
    assert failure.metadata == {"field": f"provider_options_json.{name}", "provider": "openai"}
    hidden = refused(spec(providerOptionsJson=json.dumps({"extra_body": {name: "x"}})))
    assert hidden.metadata["field"] == f"provider_options_json.extra_body.{name}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("verbosity", "low"),
        # Its rejected tokens are paid for, and counted among those of the answer.
        ("prediction", {"type": "content", "content": "x"}),
        # Says where to look for a cache, of which each caller finds what all callers of the key find.
        ("prompt_cache_key", "k"),
        ("metadata", {"a": "b"}),
        ("moderation", {"model": "m"}),
        ("min_p", 0.1),
        ("repetition_penalty", 1.1),
        ("min_tokens", 2),
        ("stop_token_ids", [1, 2]),
        ("structured_outputs", {"regex": "a+"}),
        ("guided_choice", ["a", "b"]),
        ("include_reasoning", False),
        ("reasoning", {"max_tokens": 9}),
        ("thinking", {"type": "disabled"}),
        ("extra_body", {"google": {"thinking_config": {"thinking_budget": 9}}}),
        ("a_field_of_next_year", [{"large": 9007199254740993, "larger": 123456789012345678901234567890}]),
        ("deep", json.loads("[" * 300 + "]" * 300)),
    ],
)
def test_any_other_option_is_passed_on_untouched(name: str, value: object) -> None:
    assert body(spec(providerOptionsJson=json.dumps({name: value})))[name] == value


def test_a_file_by_address_is_refused_by_name() -> None:
    file = {"file": {"url": "https://x.test/a.pdf"}}
    failure = refused(spec(messages=[{"role": "ROLE_USER", "parts": [{"text": "a"}, file]}]))
    assert failure.reason == reasons.ERROR_REASON_UNSUPPORTED
    assert failure.metadata["field"] == "messages[0].parts[1]"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"messages": [{"parts": [{"text": "a"}]}]}, "messages[0].role"),
        ({"messages": [{"role": "ROLE_USER", "parts": [{}]}]}, "messages[0].parts[0]"),
        ({"messages": [{"role": "ROLE_TOOL", "parts": [{"text": "a"}]}]}, "messages[0].parts[0]"),
        ({"providerOptionsJson": "[1]"}, "provider_options_json"),
        ({"providerOptionsJson": "{"}, "provider_options_json"),
        ({"providerOptionsJson": '{"x":' + "[" * 1010 + "]" * 1010 + "}"}, "provider_options_json"),
        ({"providerOptionsJson": '{"x": NaN}'}, "provider_options_json"),
        ({"tools": [{"name": "f", "parametersJson": "[]"}]}, "tools[0].parameters_json"),
        ({"responseFormat": {"jsonSchema": {"schemaJson": "{"}}}, "response_format.json_schema.schema_json"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(fields: dict[str, Any], field: str) -> None:
    failure = refused(spec(**fields))
    assert failure.reason == reasons.ERROR_REASON_SPEC_INVALID
    assert failure.metadata["field"] == field


def test_every_capability_can_be_configured() -> None:
    known = {name.removeprefix("CAPABILITY_").lower() for name in model.Capability.keys()}  # noqa: SIM118
    assert set(get_args(CapabilityName)) == known - {"unspecified"}
