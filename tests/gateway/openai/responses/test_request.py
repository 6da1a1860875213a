"""The body of a request for a response, as a spec."""

import base64
import contextlib
import json
from typing import Any

import pytest
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.failure import Failure
from services.gateway.openai import errors
from services.gateway.openai.responses.request import ResponseRequest, parse_response
from services.gateway.validate import validate

PNG = b"\x89PNG\r\n"
FUNCTION = {"type": "function", "name": "f"}
USER = {"role": "user", "content": "hi"}


def data_url(kind: str, data: bytes = PNG) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def asked(**fields: Any) -> ResponseRequest:
    return parse_response(json.dumps({"model": "m", "input": "hi", **fields}).encode())


def messages(*items: Any, **fields: Any) -> list[conversation.Message]:
    return list(asked(input=list(items), **fields).spec.messages)


def refused(**fields: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        asked(**fields)
    assert caught.value.reason == reasons.ERROR_REASON_SPEC_INVALID
    return caught.value


def turn(role: "conversation.Role", *parts: Any) -> conversation.Message:
    return conversation.Message(role=role, parts=parts)


def test_the_least_request():
    least = asked()
    assert (least.spec.model, least.stream) == ("m", False)
    assert list(least.spec.messages) == [turn(conversation.ROLE_USER, {"text": "hi"})]
    assert not least.spec.HasField("sampling")
    assert not least.spec.HasField("logprobs")
    assert not least.spec.HasField("response_format")
    assert not least.spec.provider_options_json
    validate(least.spec)


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant"])
@pytest.mark.parametrize("typed", [{}, {"type": "message", "id": "msg_1", "status": "completed"}])
def test_messages_of_each_role_with_and_without_a_type(role, typed):
    (message,) = messages({"role": role, "content": "x", **typed})
    expected = "ROLE_SYSTEM" if role == "developer" else f"ROLE_{role.upper()}"
    assert (conversation.Role.Name(message.role), message.parts[0].text) == (expected, "x")


def test_instructions_come_first():
    assert messages({"role": "system", "content": "b"}, instructions="a") == [
        turn(conversation.ROLE_SYSTEM, {"text": "a"}),
        turn(conversation.ROLE_SYSTEM, {"text": "b"}),
    ]
    assert len(asked(instructions="").spec.messages) == 1


def test_parts_of_a_user_keep_their_order():
    parts = [
        {"type": "input_text", "text": "a"},
        {"type": "input_image", "image_url": data_url("image/png"), "detail": "low"},
        {"type": "input_image", "image_url": "https://example.com/a.png", "file_id": None},
        {"type": "input_file", "file_data": data_url("application/pdf", b"%PDF"), "filename": "a.pdf"},
        {"type": "input_file", "file_url": "https://example.com/a.pdf"},
        {"type": "input_file", "file_id": "file-1"},
        {"type": "input_audio", "input_audio": {"data": base64.b64encode(b"RIFF").decode(), "format": "wav"}},
    ]
    (message,) = messages({"role": "user", "content": parts})
    assert list(message.parts) == [
        conversation.Part(text="a"),
        conversation.Part(image={"data": PNG, "media_type": "image/png", "detail": "low"}),
        conversation.Part(image={"url": "https://example.com/a.png"}),
        conversation.Part(file={"data": b"%PDF", "media_type": "application/pdf", "name": "a.pdf"}),
        conversation.Part(file={"url": "https://example.com/a.pdf"}),
        conversation.Part(file={"id": "file-1"}),
        conversation.Part(file={"data": b"RIFF", "media_type": "audio/wav"}),
    ]


def test_items_of_one_turn_of_the_assistant_are_one_message_and_results_end_it():
    thought = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]}
    calls = [
        {"type": "function_call", "id": f"fc_{name}", "call_id": name, "name": "f", "arguments": "{}"} for name in "ab"
    ]
    results = [{"type": "function_call_output", "call_id": name, "output": f"4{name}"} for name in "ab"]
    assert messages(USER, thought, said, *calls, *results, {"role": "assistant", "content": "42"}) == [
        turn(conversation.ROLE_USER, {"text": "hi"}),
        turn(
            conversation.ROLE_ASSISTANT,
            {"reasoning": {"text": "hm"}},
            {"text": "Let me see."},
            {"tool_call": {"id": "a", "name": "f", "arguments_json": "{}"}},
            {"tool_call": {"id": "b", "name": "f", "arguments_json": "{}"}},
        ),
        turn(conversation.ROLE_TOOL, {"tool_result": {"tool_call_id": "a", "text": "4a"}}),
        turn(conversation.ROLE_TOOL, {"tool_result": {"tool_call_id": "b", "text": "4b"}}),
        turn(conversation.ROLE_ASSISTANT, {"text": "42"}),
    ]


def test_output_can_be_sent_back_as_it_came():
    part = {"type": "output_text", "text": "a", "annotations": [], "logprobs": []}
    refusal = {"type": "refusal", "refusal": "no"}
    extra = {"google": {"thought_signature": base64.b64encode(b"s").decode()}}
    items = [
        {"id": "rs_1", "type": "reasoning", "status": "completed", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"id": "m", "type": "message", "status": "completed", "role": "assistant", "content": [part, refusal]},
        {"id": "fc", "type": "function_call", "status": "completed", "call_id": "c", "name": "f", "arguments": "{}",
         "extra_content": extra},
    ]  # fmt: skip
    (message,) = messages(*items)
    assert [part.WhichOneof("content") for part in message.parts] == ["reasoning", "text", "refusal", "tool_call"]
    assert message.parts[3].tool_call.signature == b"s"


def test_of_reasoning_the_text_counts_more_than_its_summary_and_what_is_encrypted_not_at_all():
    summary = [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]
    both = {"type": "reasoning", "summary": summary, "content": [{"type": "reasoning_text", "text": "c"}]}
    encrypted = {"type": "reasoning", "summary": [], "content": None, "encrypted_content": "gAAA"}
    first, last = messages({"type": "reasoning", "summary": summary}, USER, both, encrypted)[::2]
    assert [part.reasoning.text for part in (*first.parts, *last.parts)] == ["a\n\nb", "c"]
    assert len(messages(encrypted, USER)) == 1


def test_a_function_answers_with_text_or_parts_of_it():
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    for output in ("42", [{"type": "input_text", "text": "4"}, {"type": "input_text", "text": "2"}]):
        last = messages(call, {"type": "function_call_output", "call_id": "c", "output": output})[-1]
        assert last.parts[0].tool_result == conversation.ToolResult(tool_call_id="c", text="42")


def test_tools_keep_numbers_and_order_of_their_schemas():
    schema = {"type": "object", "properties": {"z": {"maximum": 9007199254740993}, "a": {"minimum": 0.5}}}
    spec = asked(
        tools=[{**FUNCTION, "description": "d", "parameters": schema, "strict": True}, {**FUNCTION, "name": "g"}],
        tool_choice=FUNCTION,
        parallel_tool_calls=False,
    ).spec
    assert spec.tools[0].parameters_json == json.dumps(schema, separators=(",", ":"))
    assert (spec.tools[0].strict, spec.tools[1].HasField("strict"), spec.tools[1].parameters_json) == (True, False, "")
    assert spec.tool_choice == conversation.ToolChoice(mode=conversation.TOOL_CHOICE_MODE_NAMED, name="f")
    assert spec.HasField("parallel_tool_calls")
    assert not spec.parallel_tool_calls
    validate(spec)


@pytest.mark.parametrize("word", ["auto", "none", "required"])
def test_tool_choice_as_a_word(word):
    mode = asked(tool_choice=word).spec.tool_choice.mode
    assert conversation.ToolChoiceMode.Name(mode) == f"TOOL_CHOICE_MODE_{word.upper()}"


def test_tools_that_are_not_allowed_are_not_shown_to_the_model():
    names = ["f", "g", "h"]
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{**FUNCTION, "name": name} for name in "hg"]}
    request = asked(tools=[{**FUNCTION, "name": name} for name in names], tool_choice=allowed)
    assert [tool.name for tool in request.spec.tools] == ["g", "h"]
    assert request.spec.tool_choice.mode == conversation.TOOL_CHOICE_MODE_REQUIRED
    assert [tool["name"] for tool in json.loads(request.echo)["tools"]] == names
    assert request.params.of("tools[1].parameters_json") == "tools[2].parameters"


def test_functions_of_a_namespace_have_both_names_in_one():
    inner = {**FUNCTION, "parameters": {"type": "object"}}
    group = {"type": "namespace", "name": "g", "description": "d", "tools": [inner, {**FUNCTION, "name": "x y"}]}
    call = {"type": "function_call", "call_id": "c", "name": "f", "namespace": "g", "arguments": "{}"}
    request = asked(tools=[FUNCTION, group], input=[USER, call])
    assert [tool.name for tool in request.spec.tools] == ["f", "g__f", "g__x y"]
    assert request.spec.messages[1].parts[0].tool_call.name == "g__f"
    assert request.params.of("tools[2].name") == "tools[1].tools[1].name"
    assert refused(tools=[{**group, "tools": [{"type": "custom"}]}]).metadata["field"] == "tools[0].tools[0].type"


def test_forms_of_the_answer():
    assert asked(text={"format": {"type": "text"}}).spec.response_format.HasField("text")
    assert asked(text={"format": {"type": "json_object"}}).spec.response_format.HasField("json_object")
    schema = {"type": "json_schema", "name": "n", "schema": {"b": 1, "a": 2}, "strict": False, "description": "d"}
    form = asked(text={"format": schema}).spec.response_format.json_schema
    assert (form.name, form.schema_json, form.HasField("strict"), form.strict) == ("n", '{"b":1,"a":2}', True, False)


def test_sampling_and_limits():
    spec = asked(
        temperature=0, top_p=0.5, presence_penalty=1, frequency_penalty=-1, max_output_tokens=7, seed=3, stop="x",
        reasoning={"effort": "low", "summary": "auto"}, max_tool_calls=2,
    ).spec  # fmt: skip
    assert (spec.sampling.temperature, spec.sampling.top_p, spec.sampling.presence_penalty) == (0, 0.5, 1)
    assert (spec.sampling.frequency_penalty, spec.sampling.seed, list(spec.sampling.stop)) == (-1, 3, ["x"])
    assert (spec.max_output_tokens, spec.reasoning_effort) == (7, "low")
    assert not spec.provider_options_json
    validate(spec)


def test_logprobs_are_asked_for_by_include_or_by_their_number():
    included = asked(include=["message.output_text.logprobs"]).spec
    assert (included.HasField("logprobs"), included.logprobs.top) == (True, 0)
    assert asked(top_logprobs=3).spec.logprobs.top == 3
    assert not asked(top_logprobs=0, include=["reasoning.encrypted_content"]).spec.HasField("logprobs")


def test_the_end_user_has_two_names():
    assert asked(user="u").spec.user == "u"
    assert asked(user="u", safety_identifier="s").spec.user == "s"


def test_null_is_absent():
    names = ["temperature", "tools", "tool_choice", "text", "reasoning", "include", "previous_response_id", "prompt",
             "conversation", "background", "store", "metadata", "truncation", "max_output_tokens", "x"]  # fmt: skip
    assert asked(**dict.fromkeys(names)) == asked()


@pytest.mark.parametrize(
    "harmless",
    [
        {"store": False}, {"background": False}, {"truncation": "disabled"},
        {"include": ["reasoning.encrypted_content"]},
        {"prompt_cache_key": "k"}, {"prompt_cache_retention": "24h"}, {"metadata": {"a": "b"}},
        {"client_metadata": {"a": "b"}}, {"service_tier": "default"}, {"max_tool_calls": 1},
        {"text": {"verbosity": "medium"}}, {"reasoning": {"summary": "detailed", "context": "all_turns"}},
        {"stream_options": {"include_obfuscation": False}},
    ],
)  # fmt: skip
def test_what_changes_nothing_is_accepted(harmless):
    assert asked(**harmless).spec == asked().spec


def test_a_key_of_caches_is_the_name_of_the_conversation():
    assert (asked(prompt_cache_key="k").session, asked().session) == ("k", "")


def test_unknown_fields_become_provider_options_in_their_order():
    spec = asked(min_p=0.1, text={"verbosity": "low"}, guided={"z": 1}, service_tier="flex", nothing=None).spec
    assert spec.provider_options_json == '{"min_p":0.1,"guided":{"z":1},"service_tier":"flex","verbosity":"low"}'


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"store": True}, "store", "must be false"),
        ({"background": True}, "background", "ask for a stream"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "send the whole conversation as `input`"),
        ({"conversation": "conv_1"}, "conversation", "send the whole conversation as `input`"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt", "send its text as `instructions`"),
        ({"truncation": "auto"}, "truncation", "shorten the input"),
        ({"include": ["file_search_call.results"]}, "include[0]", "hosted tools"),
        ({"context_management": [{"type": "compaction"}]}, "context_management", "used as it is"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]", "send the item itself"),
        ({"input": [USER, {"id": "msg_1"}]}, "input[1]", "send the item itself"),
        ({"moderation": {"model": "x"}}, "moderation", "not supported"),
        ({"n": 2}, "n", "ask several times"),
        ({"messages": [USER]}, "messages", "use `input`"),
        ({"response_format": {"type": "text"}}, "response_format", "use `text.format`"),
        ({"max_tokens": 3}, "max_tokens", "use `max_output_tokens`"),
        ({"reasoning_effort": "low"}, "reasoning_effort", "use `reasoning.effort`"),
        ({"logprobs": True}, "logprobs", "use `include`"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused_and_says_what_to_do(fields, field, says):
    failure = refused(**fields)
    assert failure.metadata["field"] == field
    assert says in failure.message


HOSTED = ["web_search", "web_search_preview", "file_search", "code_interpreter", "mcp", "image_generation",
          "local_shell", "shell", "custom", "computer", "apply_patch"]  # fmt: skip


@pytest.mark.parametrize("kind", HOSTED)
def test_hosted_tools_are_refused_by_their_type(kind):
    failure = refused(tools=[FUNCTION, {"type": kind, "name": "x"}])
    assert failure.metadata["field"] == "tools[1].type"
    assert "must be function" in failure.message


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"model": None}, "model", "is required"),
        ({"input": None}, "input", "is required"),
        ({"input": 3}, "input", "a string or an array of items"),
        ({"input": []}, "input", "at least one item"),
        ({"user": 3, "safety_identifier": "s"}, "user", "must be a string"),
        ({"input": [{"type": "reasoning", "content": [{"text": "x"}], "summary": 3}]},
         "input[0].summary", "must be an array"),
        ({"input": ["x"]}, "input[0]", "must be an object, not a string"),
        ({"input": [{}]}, "input[0].type", "is required"),
        ({"input": [{"type": "message"}]}, "input[0].role", "is required"),
        ({"input": [USER, {"role": "tool", "content": ""}]}, "input[1].role", "system, developer, user"),
        ({"input": [{"role": "user"}]}, "input[0].content", "is required"),
        ({"input": [{"role": "user", "content": 3}]}, "input[0].content", "a string or an array of parts"),
        ({"input": [{"role": "user", "content": []}]}, "input[0].content", "at least one part"),
        ({"input": [{"role": "user", "content": [{"type": "text"}]}]}, "input[0].content[0].type", "one of input_text"),
        ({"input": [{"role": "system", "content": [{"type": "input_image"}]}]},
         "input[0].content[0].type", "input_text"),
        ({"input": [{"role": "assistant", "content": [{"type": "input_text"}]}]},
         "input[0].content[0].type", "refusal"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
         "input[0].content[0].image_url", "https: URL or a data: URL"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
         "input[0].content[0].file_id", "send the picture as image_url"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
         "input[0].content[0].image_url", "is required"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
         "input[0].content[0]", "either file_data or file_url or file_id"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "file:///x"}]}]},
         "input[0].content[0].file_url", "an https: URL"),
        ({"input": [{"type": "custom_tool_call"}]}, "input[0].type", "is not supported here"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": ""}]}, "input[0].call_id", "is required"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output", "is required"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image"}]}]},
         "input[0].output[0].type", "must be one of input_text"),
        ({"input": [{"type": "reasoning", "summary": [{}]}]}, "input[0].summary[0].text", "is required"),
        ({"instructions": 3}, "instructions", "must be a string"),
        ({"tools": [{"name": "f"}]}, "tools[0].type", "is required"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].name", "is required"),
        ({"tools": [{**FUNCTION, "parameters": []}]}, "tools[0].parameters", "must be an object, not an array"),
        ({"tool_choice": "any"}, "tool_choice", "auto, none, required"),
        ({"tool_choice": 3}, "tool_choice", "a string or an object"),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice.type", "one of function, allowed_tools"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name", "is required"),
        ({"tool_choice": {"type": "allowed_tools", "tools": [FUNCTION]}}, "tool_choice.mode", "is required"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}}, "tool_choice.tools", "at least one"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [FUNCTION]}},
         "tool_choice.tools[0].name", "not among the tools"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "json_schema"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema", "is required"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name", "is required"),
        ({"text": {"verbosity": "loud"}}, "text.verbosity", "low, medium, high"),
        ({"reasoning": {"summary": "x"}}, "reasoning.summary", "auto, concise, detailed"),
        ({"reasoning": {"context": "current_turn"}}, "reasoning.context", "all_turns"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode", "standard"),
        ({"max_output_tokens": "3"}, "max_output_tokens", "must be an integer"),
        ({"max_tool_calls": -1}, "max_tool_calls", "must be an integer from"),
        ({"include": "x"}, "include", "must be an array"),
        ({"stream": "true"}, "stream", "true or false"),
        ({"input": ["x"] * 16385}, "input", "at most 16384 items"),
        ({"metadata": {"a": 3}}, "metadata.a", "must be a string"),
        ({"metadata": {"a" * 65: "b"}}, "metadata", "at most 64"),
        ({"metadata": {"a": "b" * 513}}, "metadata", "at most 512"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata", "at most 16"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_path_and_what_is_expected(fields, field, says):
    failure = refused(**fields)
    assert failure.metadata["field"] == field
    assert failure.message.startswith(f"`{field}` ")
    assert says in failure.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{**FUNCTION, "name": "a b"}]}, "tools[0].name"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"tool_choice": FUNCTION}, "tool_choice"),
        ({"input": [USER, {"type": "function_call", "call_id": "", "name": "f", "arguments": ""}]}, "input[1].call_id"),
        ({"input": [USER, {"type": "function_call_output", "call_id": "", "output": ""}]}, "input[1].call_id"),
        ({"input": [{"type": "reasoning", "summary": []}]}, "input"),
    ],
)
def test_what_is_found_wrong_later_has_the_callers_name_too(fields, param):
    request = asked(**fields)
    with pytest.raises(Failure) as caught:
        validate(request.spec)
    told = errors.told(caught.value, request.params.of)
    assert told["param"] == param
    assert told["message"].startswith(f"`{param}` ")


def test_each_part_of_the_spec_has_its_place_in_the_body():
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": data_url("image/png")}]
    said = {"role": "assistant", "content": [{"type": "output_text", "text": "b"}]}
    of = asked(instructions="x", input=[{"role": "user", "content": parts}, said, call, USER]).params.of
    assert [of(field) for field in ("messages[0]", "messages[1].parts[1]", "messages[2].parts[0]")] == [
        "instructions", "input[0].content[1]", "input[1].content[0]",
    ]  # fmt: skip
    assert of("messages[2].parts[1]") == "input[2]"
    assert of("messages[3]") == "input[3].content"
    assert of("messages[1]") == "input[0].content", "what holds all of its parts"
    assert of("messages[2]") == "input", "parts of several items"
    assert of("messages") == of("messages[9].parts[9]") == "input"
    assert [of(field) for field in ("logprobs", "response_format", "provider_options_json.verbosity")] == [
        "include", "text.format", "text.verbosity",
    ]  # fmt: skip


def test_a_request_as_codex_sends_it():
    group = {"type": "namespace", "name": "g", "description": "d", "tools": [{**FUNCTION, "strict": False}]}
    items = [
        {"type": "message", "id": "msg_1", "role": "developer", "content": [{"type": "input_text", "text": "Rules."}]},
        {"type": "message", "id": "msg_2", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "encrypted_content": "x"},
        {"type": "function_call", "id": "fc_1", "name": "exec", "arguments": "{}", "call_id": "c"},
        {"type": "function_call_output", "call_id": "c", "output": "ok"},
    ]
    request = asked(
        input=items, tools=[{**FUNCTION, "name": "exec", "strict": False}, group], tool_choice="auto",
        parallel_tool_calls=True, reasoning={"summary": "auto"}, store=False, stream=True,
        include=["reasoning.encrypted_content"], prompt_cache_key="k", client_metadata={"a": "b"},
    )  # fmt: skip
    validate(request.spec)
    assert request.stream
    assert [message.role for message in request.spec.messages] == [
        conversation.ROLE_SYSTEM, conversation.ROLE_USER, conversation.ROLE_ASSISTANT, conversation.ROLE_TOOL,
    ]  # fmt: skip
    assert [tool.name for tool in request.spec.tools] == ["exec", "g__f"]
    assert not request.spec.provider_options_json


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["input", "instructions", "tools", "tool_choice", "text", "reasoning", "include", "metadata", "stream_options",
     "max_output_tokens", "top_logprobs", "stop", "logit_bias", "user", "truncation", "background", "prompt"]
)  # fmt: skip
ITEM = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["message", "reasoning", "function_call", "function_call_output", "x"]) | JUNK,
        "role": st.sampled_from(["user", "assistant", "system"]) | JUNK,
        "content": JUNK, "summary": JUNK, "call_id": JUNK, "name": JUNK, "arguments": JUNK, "output": JUNK,
    },
)  # fmt: skip


@given(fields=st.dictionaries(NAMES, JUNK, max_size=4), items=st.lists(ITEM, max_size=3))
def test_whatever_comes_is_read_or_refused_with_a_path(fields, items):
    with contextlib.suppress(Failure):
        request = asked(**{"input": items, **fields})
        assert len(request.params.parts) == len(request.spec.messages)
        assert [len(paths) for paths in request.params.parts] == [len(one.parts) for one in request.spec.messages]
