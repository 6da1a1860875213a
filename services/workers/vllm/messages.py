"""The conversation as the engine's chat templates take it."""

import base64
import json
from collections.abc import Iterator
from typing import Any

from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation

from services.workers.vllm.failures import invalid, unsupported

_ROLES = {
    conversation.ROLE_SYSTEM: "system",
    conversation.ROLE_USER: "user",
    conversation.ROLE_ASSISTANT: "assistant",
    conversation.ROLE_TOOL: "tool",
}


def chat_messages(spec: generation.GenerationSpec) -> list[dict[str, Any]]:
    """The conversation's messages.

    Raises:
        Failure: SPEC_INVALID or UNSUPPORTED, naming the message.
    """
    return [
        chat
        for index, message in enumerate(spec.messages)
        for chat in _chat_messages(message, f"messages[{index}]", spec.model)
    ]


def has_pictures(spec: generation.GenerationSpec) -> bool:
    """Whether there is anything to look at."""
    return any(part.HasField("image") for message in spec.messages for part in message.parts)


def _chat_messages(message: conversation.Message, field: str, model: str) -> Iterator[dict[str, Any]]:
    """One message; several where it holds the results of several tools."""
    role = _ROLES.get(message.role)
    if role is None:
        raise invalid(f"{field}.role", f"`{field}.role` must be set.")
    named = {"name": message.name} if message.name else {}
    if role == "tool":
        for part in message.parts:
            yield {"role": role, **_tool_result(part, field), **named}
    else:
        yield {"role": role, **_turn(message, field, model), **named}


def _turn(message: conversation.Message, field: str, model: str) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    reasoning = ""
    for part in message.parts:
        kind = part.WhichOneof("content")
        if kind == "text":
            parts.append({"type": "text", "text": part.text})
        elif kind == "refusal":
            parts.append({"type": "refusal", "refusal": part.refusal})
        elif kind == "image":
            parts.append(_image(part.image, field, model))
        elif kind == "reasoning":
            reasoning += part.reasoning.text
        elif kind == "tool_call" and message.role == conversation.ROLE_ASSISTANT:
            calls.append(_tool_call(part.tool_call, field))
        else:
            raise invalid(field, f"`{field}` has a part that a vllm worker cannot read.")
    # Templates for plain text take a single text as it is; the engine itself knows how to join several.
    single = len(parts) == 1 and parts[0]["type"] == "text"
    turn: dict[str, Any] = {"content": parts[0]["text"] if single else parts}
    if calls:
        turn["tool_calls"] = calls
        turn["content"] = turn["content"] or None
    if reasoning:
        turn["reasoning"] = reasoning
    return turn


def _tool_call(call: conversation.ToolCall, field: str) -> dict[str, Any]:
    arguments = call.arguments_json or "{}"
    # The engine would take what is no JSON for no arguments at all, and the model would read that it passed none.
    try:
        parsed = json.loads(arguments)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise invalid(field, f"The arguments of a tool call in `{field}` must be a JSON object.")
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _tool_result(part: conversation.Part, field: str) -> dict[str, Any]:
    if part.WhichOneof("content") != "tool_result":
        raise invalid(field, f"`{field}` must hold the results of tools alone.")
    result = part.tool_result
    # Templates have no place for failure, and a model should know of it.
    text = f"Error: {result.text}" if result.failed else result.text
    return {"tool_call_id": result.tool_call_id, "content": text}


def _image(image: conversation.Image, field: str, model: str) -> dict[str, Any]:
    if image.WhichOneof("source") == "data":
        url = f"data:{image.media_type or 'image/png'};base64,{base64.b64encode(image.data).decode()}"
    elif image.url.startswith("data:") and ";base64," in image.url:
        url = image.url
    else:
        raise unsupported(
            field, f"`{field}` has a picture by address, which is not fetched; send its bytes.", model=model
        )
    detail = {"detail": image.detail} if image.detail else {}
    return {"type": "image_url", "image_url": {"url": url, **detail}}
