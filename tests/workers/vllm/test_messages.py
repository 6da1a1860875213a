"""The conversation as chat templates take it."""

from typing import Any

import pytest
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from services.workers.vllm.messages import chat_messages


def of_user(*parts: dict[str, Any]) -> generation.GenerationSpec:
    return generation.GenerationSpec(model="m", messages=[{"role": conversation.ROLE_USER, "parts": list(parts)}])


def test_a_conversation_keeps_its_roles_names_and_parts() -> None:
    asked = generation.GenerationSpec(
        messages=[
            {"role": conversation.ROLE_SYSTEM, "parts": [{"text": "Be brief."}]},
            {"role": conversation.ROLE_USER, "name": "ada", "parts": [{"text": "One"}, {"text": "two"}]},
            {"role": conversation.ROLE_ASSISTANT, "parts": [{"reasoning": {"text": "Hm."}}, {"text": "Three"}]},
            {"role": conversation.ROLE_ASSISTANT, "parts": [{"refusal": "No."}]},
            {"role": conversation.ROLE_ASSISTANT},
        ]
    )
    assert chat_messages(asked) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "two"}], "name": "ada"},
        {"role": "assistant", "content": "Three", "reasoning": "Hm."},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "assistant", "content": []},
    ]


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"parts": [{"text": "x"}]}, "messages[0].role"),
        ({"role": conversation.ROLE_USER, "parts": [{"file": {"url": "u"}}]}, "messages[0]"),
        ({"role": conversation.ROLE_USER, "parts": [{"tool_call": {"id": "c", "name": "f"}}]}, "messages[0]"),
        ({"role": conversation.ROLE_TOOL, "parts": [{"text": "22"}]}, "messages[0]"),
        ({"role": conversation.ROLE_USER, "parts": [{}]}, "messages[0]"),
    ],
)
def test_a_message_that_cannot_be_read_is_named(message: dict[str, Any], field: str) -> None:
    with pytest.raises(Failure) as caught:
        chat_messages(generation.GenerationSpec(messages=[message]))
    assert caught.value.reason == reasons.ERROR_REASON_SPEC_INVALID
    assert caught.value.metadata["field"] == field


def test_calls_of_tools_and_their_results_are_a_turn_each() -> None:
    calls = [
        {"tool_call": {"id": name, "name": "f", "arguments_json": text}}
        for name, text in (("a", '{"x": 1}'), ("b", ""))
    ]
    results = [
        {"tool_result": {"tool_call_id": "a", "text": "22"}},
        {"tool_result": {"tool_call_id": "b", "text": "no such city", "failed": True}},
    ]
    asked = generation.GenerationSpec(
        messages=[
            {"role": conversation.ROLE_ASSISTANT, "parts": calls},
            {"role": conversation.ROLE_TOOL, "parts": results},
        ]
    )
    assert chat_messages(asked) == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
                {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "22"},
        {"role": "tool", "tool_call_id": "b", "content": "Error: no such city"},
    ]


@pytest.mark.parametrize("arguments", ["{", "[]", "1", "[" * 100_000])
def test_arguments_that_are_no_object_are_refused_rather_than_taken_for_none(arguments: str) -> None:
    call = {"tool_call": {"id": "a", "name": "f", "arguments_json": arguments}}
    asked = generation.GenerationSpec(messages=[{"role": conversation.ROLE_ASSISTANT, "parts": [call]}])
    with pytest.raises(Failure) as caught:
        chat_messages(asked)
    assert (caught.value.reason, caught.value.metadata["field"]) == (reasons.ERROR_REASON_SPEC_INVALID, "messages[0]")


def test_a_picture_travels_by_value() -> None:
    (message,) = chat_messages(
        of_user(
            {"text": "What is it?"},
            {"image": {"data": b"\x01\x02", "media_type": "image/gif", "detail": "low"}},
            {"image": {"data": b"\x01\x02"}},
            {"image": {"url": "data:image/png;base64,AQI="}},
        )
    )
    assert message["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/gif;base64,AQI=", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQI="}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQI="}},
    ]


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/a.png", "https://example.org/a.png", "file:///etc/passwd", "data:,x", "u", ""]
)
def test_a_picture_by_address_is_never_handed_to_the_engine(url: str) -> None:
    with pytest.raises(Failure) as caught:
        chat_messages(of_user({"image": {"url": url}}))
    assert (caught.value.reason, caught.value.metadata["field"]) == (reasons.ERROR_REASON_UNSUPPORTED, "messages[0]")
