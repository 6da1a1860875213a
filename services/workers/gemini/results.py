"""Tool calls of a conversation, and the results that answer them by name."""

from typing import Any

import orjson
from hybridinference.inference.v1 import conversation_pb2 as conversation

from services.workers.gemini import failures


class Calls:
    """The calls so far: a result names its call, and the API wants the tool's name."""

    def __init__(self) -> None:
        self._count = 0
        self._names: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._places: dict[int, int] = {}

    def call(self, call: conversation.ToolCall, path: str) -> dict[str, Any]:
        """A call as `functionCall`.

        Raises:
            Failure: SPEC_INVALID, where the arguments are no JSON object.
        """
        self._names[call.id] = call.name
        self._numbers[call.id] = self._count
        self._count += 1
        arguments = call.arguments_json.strip() or "{}"  # for a tool without any, some clients write nothing
        if not isinstance(_loads(arguments), dict):
            raise failures.invalid(f"{path}.tool_call.arguments_json", "must be a JSON object")
        return {"id": call.id, "name": call.name, "args": orjson.Fragment(arguments)}

    def result(self, part: conversation.Part, path: str) -> dict[str, Any]:
        """A result as a part.

        Raises:
            Failure: SPEC_INVALID, where it is none, or answers no call.
        """
        if part.WhichOneof("content") != "tool_result":
            raise failures.invalid(path, "must be a tool's result")
        result = part.tool_result
        name = self._names.get(result.tool_call_id)
        if name is None:
            field = f"{path}.tool_result.tool_call_id"
            raise failures.invalid(field, "must be the id of a tool call in an earlier message")
        said = {"functionResponse": {"id": result.tool_call_id, "name": name, "response": _response(result)}}
        self._places[id(said)] = self._numbers[result.tool_call_id]  # now: some clients use an id again
        return said

    def order(self, part: dict[str, Any]) -> int:
        """The place of a result, as `result` gave it, among all: that of its call."""
        return self._places[id(part)]


def _response(result: conversation.ToolResult) -> Any:
    """An object, as the API wants: the result itself if it is one, else in a member that Google's pages suggest."""
    value = _loads(result.text)
    # The API takes members such as `$ref` for its own, and refuses them.
    plain = value is not None and not _has_references(value)
    said = orjson.Fragment(result.text) if plain else result.text
    if result.failed:
        return {"error": said}
    return said if plain and isinstance(value, dict) else {"result": said}


def _has_references(value: object) -> bool:
    left = [value]  # no recursion: a tool may nest deeper than Python calls
    while left:
        one = left.pop()
        if isinstance(one, dict):
            if any(name.startswith("$") for name in one):
                return True
            left += one.values()
        elif isinstance(one, list):
            left += one
    return False


def _loads(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
