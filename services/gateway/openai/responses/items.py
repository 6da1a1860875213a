"""The items of a request's input, as the conversation's vocabulary.

A turn of the assistant comes as several items: what it thought, what it said, which functions it called. Here they are
one message, as every model's template wants them. Keys that are not known are ignored inside items: clients send back
what other servers have added to them.
"""

from collections.abc import Callable, Mapping

from hybridinference.inference.v1 import conversation_pb2 as conversation

from services.gateway.openai import media, signatures
from services.gateway.openai.fields import Fields, expected, refuse
from services.gateway.openai.responses import tools

ROLES = {
    "system": conversation.ROLE_SYSTEM,
    "developer": conversation.ROLE_SYSTEM,  # the same thing under its newer name
    "user": conversation.ROLE_USER,
    "assistant": conversation.ROLE_ASSISTANT,
}


class Conversation:
    """Messages, and for each part of them the path that it had in the body."""

    def __init__(self) -> None:
        self.messages: list[conversation.Message] = []
        self.paths: list[list[str]] = []

    def instruct(self, text: str) -> None:
        """Take the request's `instructions`."""
        self._add(conversation.ROLE_SYSTEM, [(conversation.Part(text=text), "instructions")])

    def take(self, body: Fields) -> None:
        """Take the request's `input`.

        Raises:
            Failure: SPEC_INVALID, with the path of the mistake.
        """
        value = body.require("input")
        if isinstance(value, str):
            self._add(conversation.ROLE_USER, [(conversation.Part(text=value), "input")])
            return
        if not isinstance(value, list):
            refuse("input", expected("a string or an array of items", value))
        if not value:
            refuse("input", "must hold at least one item.")
        for path, item in body.items("input"):
            self._item(Fields(item, path), path)

    def _item(self, item: Fields, path: str) -> None:
        kind = item.text("type")
        if kind is None and item.get("role") is None:
            kind = "item_reference" if item.get("id") is not None else item.required_text("type")
        if kind is None or kind == "message":
            self._message(item)
        elif kind == "reasoning":
            self._add(conversation.ROLE_ASSISTANT, [(part, path) for part in _reasoning(item)])
        elif kind == "function_call":
            self._add(conversation.ROLE_ASSISTANT, [(_call(item), path)])
        elif kind == "function_call_output":
            self._add(conversation.ROLE_TOOL, [(_result(item), path)])
        elif kind == "item_reference":
            refuse(path, "refers to a stored item, but nothing is stored; send the item itself, and `store` as false.")
        else:
            known = "message, reasoning, function_call or function_call_output"
            refuse(item.path("type"), f"is not supported here; items may be of type {known}.")

    def _message(self, item: Fields) -> None:
        role = item.required_text("role")
        if role not in ROLES:
            refuse(item.path("role"), f"must be one of {', '.join(ROLES)}.")
        item.require("content")
        parts = _content(item, "content", _PARTS.get(role, _TEXT))
        if not parts and role != "assistant":
            refuse(item.path("content"), "must hold at least one part.")
        self._add(ROLES[role], parts)

    def _add(self, role: "conversation.Role", parts: list[tuple[conversation.Part, str]]) -> None:
        if not parts:  # an answer of no words, or reasoning of which only what is encrypted has come back
            return
        goes_on = role == conversation.ROLE_ASSISTANT and self.messages and self.messages[-1].role == role
        if not goes_on:
            self.messages.append(conversation.Message(role=role))
            self.paths.append([])
        self.messages[-1].parts.extend(part for part, _ in parts)
        self.paths[-1].extend(path for _, path in parts)


Part = Callable[[Fields], conversation.Part]


def _text(part: Fields) -> conversation.Part:
    return conversation.Part(text=part.required_text("text"))


def _refusal(part: Fields) -> conversation.Part:
    return conversation.Part(refusal=part.required_text("refusal"))


def _image(part: Fields) -> conversation.Part:
    if part.get("image_url") is None and part.get("file_id") is not None:
        refuse(part.path("file_id"), "is not supported: no files are stored; send the picture as image_url.")
    return media.picture(part, "image_url")


def _file(part: Fields) -> conversation.Part:
    return media.document(part, ("file_data", "file_url", "file_id"))


_TEXT: Mapping[str, Part] = {"input_text": _text}
_PARTS: Mapping[str, Mapping[str, Part]] = {
    "user": {**_TEXT, "input_image": _image, "input_file": _file, "input_audio": media.audio},
    "assistant": {"output_text": _text, "refusal": _refusal},
}


def _content(item: Fields, name: str, allowed: Mapping[str, Part]) -> list[tuple[conversation.Part, str]]:
    value = item.get(name)
    if isinstance(value, str):
        return [(conversation.Part(text=value), item.path(name))]
    if not isinstance(value, list):
        refuse(item.path(name), expected("a string or an array of parts", value))
    parts = []
    for path, one in item.items(name):
        part = Fields(one, path)
        kind = part.required_text("type")
        if kind not in allowed:
            refuse(part.path("type"), f"must be one of {', '.join(allowed)} here.")
        parts.append((allowed[kind](part), path))
    return parts


def _reasoning(item: Fields) -> list[conversation.Part]:
    """What was thought, or its summary; what is encrypted can be read by nobody here."""
    content, summary = (
        [Fields(one, path).required_text("text") for path, one in item.items(name)] for name in ("content", "summary")
    )
    text = "\n\n".join(content or summary)
    return [conversation.Part(reasoning=conversation.Reasoning(text=text))] if text else []


def _call(item: Fields) -> conversation.Part:
    call = conversation.ToolCall(
        id=item.required_text("call_id"),
        name=tools.flat(item.text("namespace") or "", item.required_text("name")),
        arguments_json=item.required_text("arguments"),
        signature=signatures.signature(item),
    )
    return conversation.Part(tool_call=call)


def _result(item: Fields) -> conversation.Part:
    call = item.required_text("call_id")
    item.require("output")
    text = "".join(part.text for part, _ in _content(item, "output", _TEXT))
    return conversation.Part(tool_result=conversation.ToolResult(tool_call_id=call, text=text))
