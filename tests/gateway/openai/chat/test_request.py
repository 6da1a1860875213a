"""The body of a chat completion, as a spec."""

import base64
import json
from typing import Any

import pytest
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.chassis.failure import Failure
from services.gateway.openai.chat.request import ChatRequest, parse_chat
from services.gateway.validate import validate

USER = {"role": "user", "content": "hi"}
PNG = b"\x89PNG\r\n"
# How long a busy machine takes to invent a request says nothing about reading it.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def chat(**fields: Any) -> ChatRequest:
    return parse_chat(json.dumps({"model": "m", "messages": [USER], **fields}).encode())


def message(**fields: Any) -> conversation.Message:
    return chat(messages=[fields]).spec.messages[0]


def refused(body: bytes | None = None, **fields: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        chat(**fields) if body is None else parse_chat(body)
    assert caught.value.reason == reasons.ERROR_REASON_SPEC_INVALID
    return caught.value


def data_url(kind: str, data: bytes = PNG) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def test_the_least_request():
    asked = chat()
    assert (asked.spec.model, asked.stream, asked.include_usage) == ("m", False, False)
    assert asked.spec.messages[0] == conversation.Message(role=conversation.ROLE_USER, parts=[{"text": "hi"}])
    assert not asked.spec.HasField("sampling")
    assert not asked.spec.HasField("max_output_tokens")
    validate(asked.spec)


@pytest.mark.parametrize(
    ("role", "expected"),
    [("system", "ROLE_SYSTEM"), ("developer", "ROLE_SYSTEM"), ("user", "ROLE_USER"), ("assistant", "ROLE_ASSISTANT")],
)
def test_roles(role, expected):
    turn = message(role=role, content="x", name="n")
    assert (conversation.Role.Name(turn.role), turn.parts[0].text, turn.name) == (expected, "x", "n")


def test_parts_of_a_user_keep_their_order():
    parts = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": data_url("image/png"), "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "input_audio", "input_audio": {"data": base64.b64encode(b"RIFF").decode(), "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": "", "format": "mp3"}},
        {"type": "file", "file": {"file_data": data_url("application/pdf", b"%PDF"), "filename": "a.pdf"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"file_data": base64.b64encode(b"raw").decode()}},
    ]
    assert list(message(role="user", content=parts).parts) == [
        conversation.Part(text="a"),
        conversation.Part(image={"data": PNG, "media_type": "image/png", "detail": "low"}),
        conversation.Part(image={"url": "https://example.com/a.png"}),
        conversation.Part(file={"data": b"RIFF", "media_type": "audio/wav"}),
        conversation.Part(file={"data": b"", "media_type": "audio/mpeg"}),
        conversation.Part(file={"data": b"%PDF", "media_type": "application/pdf", "name": "a.pdf"}),
        conversation.Part(file={"id": "file-1"}),
        conversation.Part(file={"data": b"raw"}),
    ]


def test_an_answer_of_the_assistant_can_be_sent_back_as_it_came():
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    call["extra_content"] = {"google": {"thought_signature": base64.b64encode(b"s").decode()}}
    turn = message(
        role="assistant", content=None, refusal=None, annotations=[], audio=None, function_call=None,
        reasoning="hm", reasoning_content="hm", tool_calls=[call], unheard_of={"x": 1},
    )  # fmt: skip
    assert list(turn.parts) == [
        conversation.Part(reasoning={"text": "hm"}),
        conversation.Part(tool_call={"id": "c1", "name": "f", "arguments_json": "{}", "signature": b"s"}),
    ]


def test_a_tool_answers_with_text_or_parts_of_it():
    parts = [{"type": "text", "text": "4"}, {"type": "text", "text": "2"}]
    for content in ("42", parts):
        turn = message(role="tool", tool_call_id="c1", content=content)
        assert turn.parts[0].tool_result == conversation.ToolResult(tool_call_id="c1", text="42")


def test_tools_keep_numbers_and_order_of_their_schemas():
    schema = {"type": "object", "properties": {"z": {"maximum": 9007199254740993}, "a": {"minimum": 0.5}}}
    function = {"name": "f", "description": "d", "parameters": schema, "strict": True}
    spec = chat(
        tools=[{"type": "function", "function": function}, {"type": "function", "function": {"name": "g"}}],
        tool_choice={"type": "function", "function": {"name": "f"}},
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
    mode = chat(tool_choice=word).spec.tool_choice.mode
    assert conversation.ToolChoiceMode.Name(mode) == f"TOOL_CHOICE_MODE_{word.upper()}"


def test_forms_of_the_answer():
    assert chat(response_format={"type": "text"}).spec.response_format.HasField("text")
    assert chat(response_format={"type": "json_object"}).spec.response_format.HasField("json_object")
    asked = {"name": "n", "schema": {"b": 1, "a": 2}, "strict": False, "description": "d"}
    form = chat(response_format={"type": "json_schema", "json_schema": asked}).spec.response_format.json_schema
    assert (form.name, form.schema_json, form.HasField("strict"), form.strict) == ("n", '{"b":1,"a":2}', True, False)


def test_sampling_and_limits():
    spec = chat(
        temperature=0, top_p=0.5, top_k=40, frequency_penalty=1, presence_penalty=-1.5, seed=-1, stop=["a", "b"],
        logit_bias={"5": -100, "17": 3.5}, n=2, logprobs=True, max_completion_tokens=7.0, reasoning_effort="low",
    ).spec  # fmt: skip
    sampling = spec.sampling
    assert (sampling.HasField("temperature"), sampling.temperature, sampling.top_p) == (True, 0, 0.5)
    assert (sampling.top_k, sampling.frequency_penalty, sampling.presence_penalty) == (40, 1, -1.5)
    assert (sampling.seed, list(sampling.stop), dict(sampling.logit_bias)) == (-1, ["a", "b"], {5: -100, 17: 3.5})
    assert (spec.choices, spec.max_output_tokens, spec.reasoning_effort) == (2, 7, "low")
    assert spec.HasField("logprobs")
    assert spec.logprobs.top == 0
    validate(spec)


def test_stop_may_be_one_text():
    assert list(chat(stop="END").spec.sampling.stop) == ["END"]


def test_both_names_of_the_limit():
    assert chat(max_tokens=5).spec.max_output_tokens == 5
    assert chat(max_tokens=5, max_completion_tokens=5).spec.max_output_tokens == 5
    assert refused(max_tokens=5, max_completion_tokens=6).metadata["field"] == "max_tokens"


def test_logprobs_that_are_off_ask_for_nothing():
    assert not chat(logprobs=False, top_logprobs=0).spec.HasField("logprobs")
    assert chat(logprobs=True, top_logprobs=3).spec.logprobs.top == 3


def test_streams_and_their_usage():
    assert chat(stream=True).stream
    assert chat(stream=True, stream_options={"include_usage": True}).include_usage
    assert not chat(stream=True, stream_options={"include_usage": False}).include_usage
    assert not chat(stream=False, stream_options={"include_usage": True}).include_usage


def test_the_end_user_has_two_names():
    assert chat(user="u").spec.user == "u"
    assert chat(user="u", safety_identifier="s").spec.user == "s"


def test_null_is_absent():
    names = ["temperature", "tools", "tool_choice", "stop", "n", "functions", "audio", "store", "stream_options",
             "response_format", "logit_bias", "metadata", "modalities", "service_tier", "unheard_of"]  # fmt: skip
    assert chat(**dict.fromkeys(names)) == chat()


@pytest.mark.parametrize(
    "harmless",
    [
        {"metadata": {"a": "b"}}, {"store": False}, {"service_tier": "auto"}, {"service_tier": "default"},
        {"modalities": ["text"]}, {"prompt_cache_retention": "24h"},
    ],
)  # fmt: skip
def test_what_changes_nothing_is_accepted(harmless):
    assert chat(**harmless) == chat()


def test_a_key_of_caches_is_the_name_of_the_conversation_and_no_part_of_the_spec():
    assert (chat(prompt_cache_key="k").session, chat().session) == ("k", "")
    assert chat(prompt_cache_key="k").spec == chat().spec
    with pytest.raises(Failure, match="`prompt_cache_key` must be a string"):
        chat(prompt_cache_key=1)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"functions": []}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"audio": {"voice": "a"}}, "audio"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"store": True}, "store"),
    ],
)
def test_what_would_change_the_answer_is_refused(fields, field):
    assert refused(**fields).metadata["field"] == field


def test_unknown_fields_become_provider_options_in_their_order():
    spec = chat(min_p=0.1, verbosity="low", guided={"z": 1, "a": [None]}, service_tier="flex", nothing=None).spec
    assert spec.provider_options_json == (
        '{"min_p":0.1,"verbosity":"low","guided":{"z":1,"a":[null]},"service_tier":"flex"}'
    )


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"model": None}, "model", "is required"),
        ({"model": 3}, "model", "must be a string, not a number"),
        ({"messages": None}, "messages", "is required"),
        ({"messages": {}}, "messages", "must be an array, not an object"),
        ({"messages": ["x"]}, "messages[0]", "must be an object, not a string"),
        ({"messages": ["x"] * 4097}, "messages", "at most 4096 items, not 4097"),
        ({"messages": [{"role": "user", "content": ["x"] * 16385}]}, "messages[0].content", "at most 16384 items"),
        ({"stop": [0] * 9}, "stop", "at most 8 items"),
        ({"logit_bias": {str(token): "x" for token in range(16385)}}, "logit_bias", "at most 16384 items"),
        ({"messages": [{}]}, "messages[0].role", "is required"),
        ({"messages": [USER, {"role": "bot", "content": ""}]}, "messages[1].role", "system, developer, user"),
        ({"messages": [{"role": "function", "content": ""}]}, "messages[0].role", "use `tool`"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "is required"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content", "a string or an array of parts"),
        ({"messages": [{"role": "user", "content": [{"type": "x"}]}]}, "messages[0].content[0].type", "one of file"),
        ({"messages": [{"role": "system", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type", "text"),
        ({"messages": [{"role": "assistant"}]}, "messages[0].content", "unless there are tool_calls"),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, "messages[0].audio", "not supported"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", "is required"),
        ({"tools": [{"type": "custom"}]}, "tools[0].type", "one of function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name", "is required"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
         "tools[0].function.parameters", "must be an object, not an array"),
        ({"tool_choice": "any"}, "tool_choice", "auto, none, required"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.type", "one of function"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "json_schema"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "is required"),
        ({"temperature": "0"}, "temperature", "must be a number, not a string"),
        ({"temperature": True}, "temperature", "must be a number, not a boolean"),
        ({"n": 1.5}, "n", "must be an integer"),
        ({"n": -1}, "n", "from 0 to 4294967295"),
        ({"seed": 2**63}, "seed", "must be an integer from"),
        ({"seed": 2**200}, "seed", "must be an integer from"),
        ({"seed": -(2**63) - 1}, "seed", "must be an integer from"),
        ({"user": 3, "safety_identifier": "s"}, "user", "must be a string"),
        ({"stream_options": 3}, "stream_options", "must be an object"),
        ({"max_tokens": 2**24 + 1}, "max_tokens", "between 1 and 16777216"),
        ({"messages": [{"role": "assistant", "content": "x", "reasoning": "x", "reasoning_content": 3}]},
         "messages[0].reasoning_content", "must be a string"),
        ({"messages": [{"role": "tool", "tool_call_id": "", "content": "x"}]},
         "messages[0].tool_call_id", "must not be empty"),
        ({"messages": [{"role": "assistant", "tool_calls": [
            {"id": "", "type": "function", "function": {"name": "f", "arguments": ""}}]}]},
         "messages[0].tool_calls[0].id", "must not be empty"),
        ({"stop": 3}, "stop", "a string or an array of strings"),
        ({"stop": ["a", 3]}, "stop[1]", "must be a string, not a number"),
        ({"logit_bias": {"a": 1}}, "logit_bias", "token ids"),
        ({"logit_bias": {"٣": 1}}, "logit_bias", "token ids"),
        ({"logit_bias": {"4294967296": 1}}, "logit_bias", "token ids"),
        ({"logit_bias": {"3": "1"}}, "logit_bias.3", "must be a number"),
        ({"top_logprobs": 3}, "top_logprobs", "needs `logprobs`"),
        ({"stream": "true"}, "stream", "true or false"),
        ({"stream": True, "stream_options": []}, "stream_options", "must be an object"),
        ({"metadata": "x"}, "metadata", "must be an object"),
        ({"reasoning_effort": 3}, "reasoning_effort", "must be a string"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_path_and_what_is_expected(fields, field, says):
    failure = refused(**fields)
    assert failure.metadata["field"] == field
    assert failure.message.startswith(f"`{field}` ")
    assert says in failure.message


def test_a_body_of_too_many_members_is_refused():
    assert "The body must hold at most 16384 items" in refused(**{f"x{number}": 1 for number in range(16385)}).message


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("file:///etc/passwd", "https: URL or a data: URL"),
        ("x", "https: URL or a data: URL"),
        ("data:image/png,abc", "base64 content"),
        ("data:image/png;base64,?", "valid base64"),
        ("data:image/png;base64,é", "valid base64"),
        ("data:text/html;base64,AAAA", "of a picture"),
        ("data:;base64,AAAA", "of a picture"),
    ],
)
def test_pictures_that_are_none(url, says):
    failure = refused(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}])
    assert failure.metadata["field"] == "messages[0].content[0].image_url.url"
    assert says in failure.message


@pytest.mark.parametrize("file", [{}, {"file_id": "a", "file_data": "b"}])
def test_a_file_is_either_an_id_or_content(file):
    failure = refused(messages=[{"role": "user", "content": [{"type": "file", "file": file}]}])
    assert failure.metadata["field"] == "messages[0].content[0].file"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "line 1, column 1"),
        (b'{"model":\n "m",}', "line 2, column"),
        (b'{"a": NaN}', "line 1, column 7"),
        (b'{"a": 1e999}', "line 1, column 7"),
        (b'{"a": "\\ud800"}', "line 1, column 8"),
        (b"\xff", "not valid UTF-8"),
        (b"[" * 100_000, "depth limit"),
        (b"[]", "must be a JSON object, not an array"),
        (b"null", "must be a JSON object, not null"),
        (b"3", "must be a JSON object, not a number"),
    ],
)
def test_a_body_that_is_no_object_is_told_where_it_breaks(body, says):
    assert says in refused(body).message


def test_what_was_said_is_not_repeated_in_an_error():
    failure = refused(b'{"model": "m", "messages": [{"role": "user", "content": {"secret": "prompt"}}]} tail')
    assert "secret" not in failure.message
    assert failure.__context__ is None


@pytest.mark.parametrize("depth", [300, 1000, 100_000])
def test_nesting_is_bounded(depth):
    nested = '{"a":' * depth + "1" + "}" * depth
    for field in ('"x":%s', '"tools":[{"type":"function","function":{"name":"f","parameters":%s}}]'):
        body = '{"model":"m","messages":[{"role":"user","content":"hi"}],' + field % nested + "}"
        refused(body.encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = [
    "model", "messages", "tools", "tool_choice", "response_format", "stop", "logit_bias", "n", "seed", "logprobs",
    "top_logprobs", "max_tokens", "temperature", "stream", "stream_options", "metadata", "modalities", "service_tier",
]  # fmt: skip
WORDS = ["user", "assistant", "tool", "system", "function", "text", "image_url", "file", "json_schema", "data:;base64,"]
KEYS = [
    "role", "content", "type", "text", "image_url", "url", "input_audio", "data", "format", "file", "file_data",
    "tool_calls", "function", "name", "parameters", "arguments", "json_schema", "schema", "tool_call_id", "refusal",
]  # fmt: skip
# Shaped nearly right: this is what reaches the inner readers.
LIKELY = st.recursive(
    st.sampled_from(WORDS) | st.none() | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)


def parses_or_fails(body: bytes) -> None:
    outcome = attempt(body)
    if isinstance(outcome, ChatRequest):
        outcome.spec.SerializeToString()
    else:
        assert outcome.reason == reasons.ERROR_REASON_SPEC_INVALID
        assert outcome.message
        outcome.metadata["field"].encode()


def attempt(body: bytes) -> ChatRequest | Failure:
    try:
        return parse_chat(body)
    except Failure as failure:
        return failure


@PATIENT
@given(st.binary())
def test_any_bytes_parse_or_fail(body):
    parses_or_fails(body)


@PATIENT
@given(st.dictionaries(st.sampled_from(NAMES), JSON | LIKELY))
@example({"model": "m", "messages": [USER], "n": 10**400})
def test_any_json_parses_or_fails(fields):
    parses_or_fails(json.dumps(fields).encode())


@settings(PATIENT, max_examples=300)
@given(messages=st.lists(LIKELY, max_size=3), rest=st.dictionaries(st.sampled_from(NAMES[2:]), LIKELY, max_size=2))
def test_any_conversation_parses_or_fails(messages, rest):
    parses_or_fails(json.dumps({"model": "m", "messages": messages, **rest}).encode())
