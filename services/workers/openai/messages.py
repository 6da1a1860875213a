"""The conversation in OpenAI's words."""

import base64
from collections.abc import Iterator
from typing import Any

from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.workers.openai import failures

_ROLES = {
    conversation.ROLE_SYSTEM: "system",
    conversation.ROLE_USER: "user",
    conversation.ROLE_ASSISTANT: "assistant",
    conversation.ROLE_TOOL: "tool",
}
_AUDIO_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav"}


def chat_messages(message: conversation.Message, path: str, *, reasoning_field: str) -> Iterator[dict[str, Any]]:
    """One message; several where it holds the results of several tools.

    Raises:
        Failure: SPEC_INVALID or UNSUPPORTED, naming the part.
    """
    role = _ROLES.get(message.role)
    if role is None:
        raise Failure(reasons.ERROR_REASON_SPEC_INVALID, f"`{path}.role` must be set.", field=f"{path}.role")
    named = {"name": message.name} if message.name else {}
    if role == "tool":
        for number, part in enumerate(message.parts):
            yield {"role": role, **_tool_result(part, f"{path}.parts[{number}]"), **named}
    elif role == "assistant":
        yield {"role": role, **_assistant(message, path, reasoning_field), **named}
    else:
        parts = [_part(part, f"{path}.parts[{number}]") for number, part in enumerate(message.parts)]
        yield {"role": role, "content": _content(parts), **named}


def _assistant(message: conversation.Message, path: str, reasoning_field: str) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    thought = ""
    for number, part in enumerate(message.parts):
        kind = part.WhichOneof("content")
        if kind == "tool_call":
            calls.append(_tool_call(part.tool_call))
        elif kind == "reasoning":
            thought += part.reasoning.text
        else:
            parts.append(_part(part, f"{path}.parts[{number}]"))
    turn: dict[str, Any] = {"content": _content(parts) if parts else None}
    if calls:
        turn["tool_calls"] = calls
    if thought and reasoning_field:
        turn[reasoning_field] = thought
    return turn


def _content(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """A single text as it is: servers that know no parts take that."""
    if len(parts) == 1 and parts[0]["type"] == "text":
        text: str = parts[0]["text"]
        return text
    return parts


def _part(part: conversation.Part, path: str) -> dict[str, Any]:
    kind = part.WhichOneof("content")
    if kind == "text":
        return {"type": "text", "text": part.text}
    if kind == "refusal":
        return {"type": "refusal", "refusal": part.refusal}
    if kind == "image":
        return _image(part.image)
    if kind == "file":
        return _file(part.file, path)
    raise Failure(
        reasons.ERROR_REASON_SPEC_INVALID, f"`{path}` cannot be {kind or 'empty'} in this message.", field=path
    )


def _image(image: conversation.Image) -> dict[str, Any]:
    url = image.url or _data_url(image.media_type or "image/png", image.data)
    detail = {"detail": image.detail} if image.detail else {}
    return {"type": "image_url", "image_url": {"url": url, **detail}}


def _file(file: conversation.File, path: str) -> dict[str, Any]:
    source = file.WhichOneof("source")
    if source == "url":
        raise failures.unsupported(path, "a file is sent by value or by id, not by address")
    if source == "id":
        return {"type": "file", "file": {"file_id": file.id}}
    kind, _, subtype = file.media_type.partition("/")
    if kind == "audio":
        data = base64.b64encode(file.data).decode()
        return {"type": "input_audio", "input_audio": {"data": data, "format": _AUDIO_FORMATS.get(subtype, subtype)}}
    # OpenAI takes no content without a name.
    content = _data_url(file.media_type or "application/octet-stream", file.data)
    return {"type": "file", "file": {"filename": file.name or "file", "file_data": content}}


def _data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _tool_call(call: conversation.ToolCall) -> dict[str, Any]:
    shaped: dict[str, Any] = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments_json},
    }
    if call.signature:  # only Gemini's OpenAI-compatible endpoint gives one out, and wants it back here
        shaped["extra_content"] = {"google": {"thought_signature": base64.b64encode(call.signature).decode()}}
    return shaped


def _tool_result(part: conversation.Part, path: str) -> dict[str, Any]:
    if part.WhichOneof("content") != "tool_result":
        raise Failure(reasons.ERROR_REASON_SPEC_INVALID, f"`{path}` must be a tool's result.", field=path)
    result = part.tool_result
    # The wire has no place for failure, and a model should know of it.
    text = f"Error: {result.text}" if result.failed else result.text
    return {"tool_call_id": result.tool_call_id, "content": text}
