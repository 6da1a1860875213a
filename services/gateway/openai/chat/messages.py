"""Messages of a chat request, as the conversation's vocabulary.

Keys that are not known are ignored inside messages: clients send back what other servers have added to them.
"""

from hybridinference.inference.v1 import conversation_pb2 as conversation

from services.gateway.openai import media, signatures
from services.gateway.openai.fields import Fields, expected, refuse

ROLES = {
    "system": conversation.ROLE_SYSTEM,
    "developer": conversation.ROLE_SYSTEM,  # the same thing under its newer name
    "user": conversation.ROLE_USER,
    "assistant": conversation.ROLE_ASSISTANT,
    "tool": conversation.ROLE_TOOL,
}
PARTS_OF_USER = {"text", "image_url", "input_audio", "file"}


def message(value: object, path: str) -> conversation.Message:
    """One message of the conversation.

    Raises:
        Failure: SPEC_INVALID, with the path of the mistake.
    """
    fields = Fields(value, path)
    role = fields.required_text("role")
    if role == "function":
        refuse(fields.path("role"), "`function` is no longer supported; use `tool` with a tool_call_id.")
    if role not in ROLES:
        refuse(fields.path("role"), f"must be one of {', '.join(ROLES)}.")
    if role == "assistant":
        parts = _assistant(fields)
    elif role == "tool":
        parts = [_tool_result(fields)]
    else:
        fields.require("content")
        parts = _content(fields, PARTS_OF_USER if role == "user" else {"text"})
    return conversation.Message(role=ROLES[role], parts=parts, name=fields.text("name") or "")


def _assistant(fields: Fields) -> list[conversation.Part]:
    for name, instead in (("audio", "the text of the answer"), ("function_call", "tool_calls")):
        if fields.get(name) is not None:
            refuse(fields.path(name), f"is not supported; send {instead} instead.")
    parts = []
    # Both names are in use for the same thing; a client that keeps both sends the same text twice.
    one, other = fields.text("reasoning"), fields.text("reasoning_content")
    thought = one or other
    if thought:
        parts.append(conversation.Part(reasoning=conversation.Reasoning(text=thought)))
    parts += _content(fields, {"text", "refusal"})
    refusal = fields.text("refusal")
    if refusal is not None:
        parts.append(conversation.Part(refusal=refusal))
    parts += [_tool_call(item, path) for path, item in fields.items("tool_calls")]
    if not parts:
        refuse(fields.path("content"), "is required unless there are tool_calls.")
    return parts


def _tool_call(value: object, path: str) -> conversation.Part:
    fields = Fields(value, path)
    if fields.choice("type", ("function",)) is None:
        refuse(fields.path("type"), "is required and must be function.")
    function = fields.required_members("function")
    call = conversation.ToolCall(
        id=fields.required_id("id"),
        name=function.required_text("name"),
        arguments_json=function.required_text("arguments"),
        signature=signatures.signature(fields),
    )
    return conversation.Part(tool_call=call)


def _tool_result(fields: Fields) -> conversation.Part:
    call = fields.required_id("tool_call_id")
    fields.require("content")
    text = "".join(part.text for part in _content(fields, {"text"}))
    return conversation.Part(tool_result=conversation.ToolResult(tool_call_id=call, text=text))


def _content(fields: Fields, allowed: set[str]) -> list[conversation.Part]:
    content = fields.get("content")
    if content is None:
        return []
    if isinstance(content, str):
        return [conversation.Part(text=content)]
    if not isinstance(content, list):
        refuse(fields.path("content"), expected("a string or an array of parts", content))
    return [_part(item, path, allowed) for path, item in fields.items("content")]


def _part(value: object, path: str, allowed: set[str]) -> conversation.Part:
    fields = Fields(value, path)
    kind = fields.required_text("type")
    if kind not in allowed:
        refuse(fields.path("type"), f"must be one of {', '.join(sorted(allowed))} in a message of this role.")
    if kind == "text":
        return conversation.Part(text=fields.required_text("text"))
    if kind == "refusal":
        return conversation.Part(refusal=fields.required_text("refusal"))
    if kind == "image_url":
        return media.image(fields)
    return media.audio(fields) if kind == "input_audio" else media.file(fields)
