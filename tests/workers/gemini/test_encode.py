"""A spec as a request body."""

import base64
import copy
import hashlib
import json
from typing import Any

import orjson
import pytest
from google.genai import types
from google.protobuf import json_format
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from services.gateway.openai.chat.request import parse_chat
from services.workers.gemini import embeddings, encode
from services.workers.gemini.signatures import Memory, Signatures, Signed
from tests.vendors.gemini_server import Asked, refusal, signature

MODEL = "gemini-3-flash"
UNSIGNED = "skip_thought_signature_validator"
USER = {"role": "user", "content": "hi"}
THINKING = {"thinkingConfig": {"includeThoughts": True}}


def chat(**fields: Any) -> generation.GenerationSpec:
    """A spec as the gateway makes it of OpenAI's request."""
    return parse_chat(json.dumps({"model": MODEL, "messages": [USER], **fields}).encode()).spec


def spec(**fields: Any) -> generation.GenerationSpec:
    given = {"model": MODEL, "messages": [{"role": "ROLE_USER", "parts": [{"text": "hi"}]}], **fields}
    return json_format.ParseDict(given, generation.GenerationSpec())


def memory() -> Memory:
    return Memory(Signatures(), "tenant", MODEL)


def body(asked: generation.GenerationSpec, remembered: Memory | None = None) -> dict[str, Any]:
    """The body, which the strict server must take and the SDK's own types must know."""
    written = orjson.dumps(encode.body(asked, remembered or memory(), files_at="https://files.test/v1beta/"))
    read: dict[str, Any] = orjson.loads(written)
    path = f"/v1beta/models/{asked.model}:generateContent"
    refused = refusal(Asked(path, {"x-goog-api-key": "k"}, copy.deepcopy(read), 0.0))
    assert refused is None, refused.body
    known_to_the_sdk(read)
    return read


def known_to_the_sdk(read: dict[str, Any]) -> None:
    """Types of the official SDK forbid what they do not know."""
    for content in (*read["contents"], *filter(None, [read.get("systemInstruction")])):
        types.Content.model_validate(content)
    for tool in read.get("tools", ()):
        types.Tool.model_validate(tool)
    types.ToolConfig.model_validate(read.get("toolConfig", {}))
    types.GenerateContentConfig.model_validate(read.get("generationConfig", {}))
    assert read.keys() <= {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig"}


def refused(asked: generation.GenerationSpec) -> tuple[str, str]:
    with pytest.raises(Failure) as caught:
        encode.body(asked, memory())
    return caught.value.reason_name, caught.value.metadata["field"]


TOOL = {"type": "function", "function": {"name": "f", "description": "does", "parameters": {"z": 1, "$ref": "#/a"}}}
DECLARED = [
    {"functionDeclarations": [{"name": "f", "description": "does", "parametersJsonSchema": {"z": 1, "$ref": "#/a"}}]}
]
STRICT = {"type": "function", "function": {"name": "f", "description": "does", "strict": True}}
SCHEMA = {"name": "s", "schema": {"type": "object", "maximum": 9007199254740993}, "strict": True, "description": "d"}


def calling(**config: Any) -> dict[str, Any]:
    return {"tools": DECLARED, "toolConfig": {"functionCallingConfig": config}}


@pytest.mark.parametrize(
    ("fields", "config"),
    [
        ({}, {}),
        (
            {"temperature": 0.5, "top_p": 0.9, "seed": -3, "frequency_penalty": 1.0, "presence_penalty": -1.0},
            {"temperature": 0.5, "topP": 0.9, "seed": -3, "frequencyPenalty": 1.0, "presencePenalty": -1.0},
        ),
        ({"stop": ["a", "b", "c", "d"], "top_k": 4}, {"stopSequences": ["a", "b", "c", "d"], "topK": 4}),
        ({"max_completion_tokens": 9, "n": 2, "user": "u"}, {"maxOutputTokens": 9, "candidateCount": 2}),
        ({"logprobs": True, "top_logprobs": 3}, {"responseLogprobs": True, "logprobs": 3}),
        ({"logprobs": True}, {"responseLogprobs": True}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {"responseMimeType": "application/json"}),
        (
            {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
            {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA["schema"]},
        ),
        ({"reasoning_effort": "low"}, {"thinkingConfig": {"includeThoughts": True, "thinkingLevel": "LOW"}}),
    ],
    ids=lambda value: ",".join(value) or "nothing",
)
def test_each_parameter_has_its_place(fields: dict[str, Any], config: dict[str, Any]) -> None:
    assert body(chat(**fields)) == {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": THINKING | config,
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"tools": [TOOL]}, {"tools": DECLARED}),
        ({"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": False}, calling(mode="AUTO")),
        ({"tools": [TOOL], "tool_choice": "none"}, calling(mode="NONE")),
        ({"tools": [TOOL], "tool_choice": "required"}, calling(mode="ANY")),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
            calling(mode="ANY", allowedFunctionNames=["f"]),
        ),
        ({"tool_choice": "none"}, {}),
    ],
    ids=lambda value: str(value)[-60:],
)
def test_tools_and_how_free_the_model_is_to_call_them(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    said = body(chat(**fields))
    assert {name: said[name] for name in ("tools", "toolConfig") if name in said} == expected


def test_arguments_that_must_match_are_validated_where_the_model_can() -> None:
    assert body(chat(tools=[STRICT]))["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}
    assert "toolConfig" not in body(chat(tools=[STRICT], model="gemini-2.0-flash"))
    assert body(chat(tools=[STRICT], tool_choice="none"))["toolConfig"]["functionCallingConfig"]["mode"] == "NONE"


def test_json_that_came_as_text_stays_as_it_was_written() -> None:
    text = '{"maximum":9007199254740993,  "z":1,"a":1.0}'
    asked = spec(tools=[{"name": "f", "parametersJson": text}], responseFormat={"jsonSchema": {"schemaJson": text}})
    assert orjson.dumps(encode.body(asked, memory())).count(text.encode()) == 2


def call(identifier: str, name: str = "f", arguments: str = '{"a":  1}', **more: Any) -> dict[str, Any]:
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def asks(*calls: dict[str, Any], content: Any = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def result(identifier: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identifier, "content": text, "name": "f"}


def contents(*messages: dict[str, Any], remembered: Memory | None = None, model: str = MODEL) -> list[Any]:
    found: list[Any] = body(chat(messages=list(messages), model=model), remembered)["contents"]
    return found


def test_roles_take_turns_and_instructions_stand_beside_them_in_order() -> None:
    said = body(
        chat(
            messages=[
                {"role": "system", "content": "one"},
                {"role": "user", "content": "a"},
                {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": ""}]},
                {"role": "developer", "content": "two"},
                {"role": "assistant", "content": "c"},
                {"role": "assistant", "content": None, "refusal": "d", "reasoning": "another model's"},
                {"role": "user", "content": "e"},
            ]
        )
    )
    assert said["systemInstruction"] == {"parts": [{"text": "one"}, {"text": "two"}]}
    assert said["contents"] == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}, {"text": "d"}]},
        {"role": "user", "parts": [{"text": "e"}]},
    ]


def test_instructions_alone_are_said_by_the_user_and_nothing_at_all_is_refused() -> None:
    said = body(chat(messages=[{"role": "system", "content": "write"}]))
    assert said["contents"] == [{"role": "user", "parts": [{"text": "write"}]}]
    assert "systemInstruction" not in said
    assert refused(chat(messages=[{"role": "user", "content": ""}])) == ("SPEC_INVALID", "messages")


def test_results_answer_their_calls_by_name_in_one_turn_and_in_order() -> None:
    said = contents(
        USER,
        asks(call("1", "f"), call("2", "g", "{}"), call("3", "f", "")),
        result("3", "[1, 2]"),
        result("1", '{"b": 9007199254740993}'),
        result("2", "22 degrees"),
    )
    assert said[1]["parts"] == [
        {"functionCall": {"id": "1", "name": "f", "args": {"a": 1}}, "thoughtSignature": UNSIGNED},
        {"functionCall": {"id": "2", "name": "g", "args": {}}},
        {"functionCall": {"id": "3", "name": "f", "args": {}}},
    ]
    responses = [part["functionResponse"] for part in said[2]["parts"]]
    assert responses == [
        {"id": "1", "name": "f", "response": {"b": 9007199254740993}},
        {"id": "2", "name": "g", "response": {"result": "22 degrees"}},
        {"id": "3", "name": "f", "response": {"result": [1, 2]}},
    ]
    assert [content["role"] for content in said] == ["user", "model", "user"]


def test_an_id_that_is_used_again_means_its_last_call() -> None:
    said = contents(USER, asks(call("1", "f")), result("1", "a"), asks(call("1", "g")), result("1", "b"))
    names = [part["functionResponse"]["name"] for at in (2, 4) for part in said[at]["parts"]]
    assert names == ["f", "g"]


def test_a_result_with_references_is_sent_as_text_and_one_that_failed_as_an_error() -> None:
    references = '{"a": [{"$ref": "#/x"}]}'
    said = contents(USER, asks(call("1"), call("2")), result("1", references), result("2", "7"))
    assert [part["functionResponse"]["response"] for part in said[2]["parts"]] == [
        {"result": references},
        {"result": 7},
    ]
    asked = chat(messages=[USER, asks(call("1")), result("1", "no such city")])
    asked.messages[2].parts[0].tool_result.failed = True
    assert body(asked)["contents"][2]["parts"][0]["functionResponse"]["response"] == {"error": "no such city"}


@pytest.mark.parametrize(("inner", "as_text"), [("1", False), ('{"$ref": 1}', True)])
def test_a_result_may_nest_deeper_than_python_calls(inner: str, as_text: bool) -> None:
    deep = '{"a":' * 900 + inner + "}" * 900
    asked = chat(messages=[USER, asks(call("1")), result("1", deep)])
    sent = orjson.dumps(encode.body(asked, memory()))
    assert (orjson.dumps(deep) in sent) == as_text
    assert (deep.encode() in sent) != as_text


def test_a_signature_comes_from_the_client_else_from_memory_else_it_is_googles_dummy() -> None:
    kept = memory()
    for identifier in ("1", "2"):
        kept.keep_call(identifier, base64.b64decode(signature("f")))
    google = {"extra_content": {"google": {"thought_signature": base64.b64encode(b"client f").decode()}}}
    said = contents(
        USER,
        *(asks(call("1", **google)), result("1", "a")),
        *(asks(call("2")), result("2", "a")),
        *(asks(call("3")), result("3", "a")),
        remembered=kept,
    )
    signatures = [said[at]["parts"][0]["thoughtSignature"] for at in (1, 3, 5)]
    assert signatures == [base64.b64encode(b"client f").decode(), signature("f"), UNSIGNED]


def test_models_that_do_not_insist_on_a_signature_get_no_dummy() -> None:
    for model in ("gemini-2.5-pro", "gemini-2.0-flash"):
        said = contents(USER, asks(call("1")), result("1", "a"), model=model)
        assert "thoughtSignature" not in said[1]["parts"][0]


@pytest.mark.parametrize(
    ("tail", "parts"),
    [
        (0, [{"text": "Grüße"}, {"text": "", "thoughtSignature": "c2ln"}]),
        (2, [{"text": "Grü"}, {"text": "ße", "thoughtSignature": "c2ln"}]),
        (5, [{"text": "Grüße", "thoughtSignature": "c2ln"}]),
    ],
)
def test_the_signature_of_a_text_returns_to_its_place(tail: int, parts: list[Any]) -> None:
    remembered = memory()
    remembered.keep_text(hashlib.sha256("Grüße".encode()).digest(), Signed(b"sig", tail))
    answer = {"role": "assistant", "content": [{"type": "text", "text": "Grü"}, {"type": "text", "text": "ße"}]}
    assert contents(USER, answer, USER, remembered=remembered)[1]["parts"] == parts


def test_thinking_goes_back_with_its_signature_only() -> None:
    thinking = [
        {"reasoning": {"text": "hm", "signature": "c2ln"}},
        {"reasoning": {"text": "another's"}},
        {"text": "a"},
    ]
    user = {"role": "ROLE_USER", "parts": [{"text": "hi"}]}
    said = body(spec(messages=[user, {"role": "ROLE_ASSISTANT", "parts": thinking}, user]))["contents"]
    assert said[1]["parts"] == [{"text": "hm", "thought": True, "thoughtSignature": "c2ln"}, {"text": "a"}]


def media(*parts: dict[str, Any]) -> tuple[list[Any], str]:
    said = body(spec(messages=[{"role": "ROLE_USER", "parts": list(parts)}]))
    return said["contents"][0]["parts"], said["generationConfig"].get("mediaResolution", "")


def picture(**fields: Any) -> dict[str, Any]:
    return {"image": {"data": "AQI=", "mediaType": "image/webp", **fields}}


INLINE = {"inlineData": {"mimeType": "image/webp", "data": "AQI="}}


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (picture(), INLINE),
        ({"image": {"data": "AQI="}}, {"inlineData": {"mimeType": "image/png", "data": "AQI="}}),
        (
            {"image": {"url": "https://a.test/b.jpg?c=d"}},
            {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://a.test/b.jpg?c=d"}},
        ),
        ({"image": {"url": "https://a.test/b"}}, {"fileData": {"fileUri": "https://a.test/b"}}),
        (
            {"file": {"data": "AQI=", "mediaType": "audio/wav"}},
            {"inlineData": {"mimeType": "audio/wav", "data": "AQI="}},
        ),
        (
            {"file": {"data": "AQI=", "name": "a.PDF"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "AQI="}},
        ),
        ({"file": {"id": "files/abc"}}, {"fileData": {"fileUri": "https://files.test/v1beta/files/abc"}}),
        ({"file": {"id": "https://a.test/x"}}, {"fileData": {"fileUri": "https://a.test/x"}}),
        (
            {"file": {"url": "https://a.test/b.pdf"}},
            {"fileData": {"mimeType": "application/pdf", "fileUri": "https://a.test/b.pdf"}},
        ),
    ],
    ids=str,
)
def test_pictures_and_files_go_by_value_or_by_an_address_that_google_fetches(
    part: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert media(part) == ([expected], "")


@pytest.mark.parametrize(
    ("parts", "resolution"),
    [
        ([picture(detail="low")], "MEDIA_RESOLUTION_LOW"),
        ([picture(detail="low"), picture(detail="high")], "MEDIA_RESOLUTION_HIGH"),
        ([picture(detail="low"), picture()], ""),
        ([picture(detail="low"), {"file": {"id": "files/a"}}], ""),
        ([picture(detail="auto")], ""),
    ],
)
def test_how_closely_to_look_is_said_for_all_or_not_at_all(parts: list[dict[str, Any]], resolution: str) -> None:
    assert media(*parts)[1] == resolution


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (chat(messages=[USER, asks(call("1", arguments="[1]"))]), "messages[1].parts[0].tool_call.arguments_json"),
        (chat(messages=[USER, asks(call("1", arguments="{"))]), "messages[1].parts[0].tool_call.arguments_json"),
        (chat(messages=[USER, result("1", "a")]), "messages[1].parts[0].tool_result.tool_call_id"),
        (spec(messages=[{"parts": [{"text": "a"}]}]), "messages[0].role"),
        (spec(messages=[{"role": "ROLE_USER", "parts": [{}]}]), "messages[0].parts[0]"),
        (spec(messages=[{"role": "ROLE_USER", "parts": [{"image": {}}]}]), "messages[0].parts[0]"),
        (spec(messages=[{"role": "ROLE_USER", "parts": [{"file": {"data": "AQI="}}]}]), "messages[0].parts[0]"),
        (spec(messages=[{"role": "ROLE_SYSTEM", "parts": [picture()]}]), "messages[0].parts[0]"),
        (spec(messages=[{"role": "ROLE_ASSISTANT", "parts": [picture()]}]), "messages[0].parts[0]"),
        (spec(messages=[{"role": "ROLE_TOOL", "parts": [{"text": "a"}]}]), "messages[0].parts[0]"),
        (spec(tools=[{"name": "f", "parametersJson": "[]"}]), "tools[0].parameters_json"),
        (spec(responseFormat={"jsonSchema": {"schemaJson": "x"}}), "response_format.json_schema.schema_json"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_said_is_refused_by_name(asked: generation.GenerationSpec, expected: str) -> None:
    assert refused(asked) == ("SPEC_INVALID", expected)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (spec(sampling={"stop": list("abcdef")}), "sampling.stop"),
        (spec(sampling={"seed": 1 << 31}), "sampling.seed"),
        (spec(sampling={"logitBias": {"1": 1.0}}), "sampling.logit_bias"),
        (spec(providerOptionsJson='{"min_p": 1}'), "provider_options_json"),
        (chat(messages=[{**USER, "name": "ann"}]), "messages[0].name"),
        (chat(model="gemini-2.0-flash", reasoning_effort="high"), "reasoning_effort"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_api_does_not_have_is_refused_and_not_dropped(asked: generation.GenerationSpec, field: str) -> None:
    assert refused(asked) == ("UNSUPPORTED", field)


def test_token_ids_are_not_embedded() -> None:
    asked = embedding.EmbeddingSpec(
        inputs=[embedding.EmbeddingInput(text="a"), embedding.EmbeddingInput(token_ids=embedding.TokenIds(ids=[1]))]
    )
    with pytest.raises(Failure) as caught:
        list(embeddings.bodies(asked, "models/m"))
    assert caught.value.metadata["field"] == "inputs[1]"
