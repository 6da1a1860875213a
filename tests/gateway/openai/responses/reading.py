"""Reads a response's stream as a client does, and holds it to the order that clients depend on."""

import json
from typing import Any

import pydantic
from openai.types.responses import Response, ResponseStreamEvent

EVENT: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ResponseStreamEvent)
TERMINAL = ("response.completed", "response.incomplete", "response.failed")
# What the schema of Open Responses has in every response, and which of it may be null.
MEMBERS = {
    **dict.fromkeys(("id", "object", "status", "model", "truncation", "service_tier"), str),
    **dict.fromkeys(("created_at", "top_logprobs"), int),
    **dict.fromkeys(("output", "tools"), list),
    **dict.fromkeys(("parallel_tool_calls", "store", "background"), bool),
    **dict.fromkeys(("text", "metadata"), dict),
    **dict.fromkeys(("top_p", "presence_penalty", "frequency_penalty", "temperature"), (int, float)),
    "tool_choice": (str, dict),
}
NULLABLE = {
    **dict.fromkeys(("completed_at", "max_output_tokens", "max_tool_calls"), int),
    **dict.fromkeys(("incomplete_details", "error", "reasoning", "usage"), dict),
    **dict.fromkeys(("previous_response_id", "instructions", "safety_identifier", "prompt_cache_key"), str),
}


def response(body: Any) -> Any:
    """A whole response, which the SDK and the schema of Open Responses must take as it is."""
    Response.model_validate(body, strict=True)
    for name, kind in MEMBERS.items():
        assert isinstance(body[name], kind), name
    for name, kind in NULLABLE.items():
        assert body[name] is None or isinstance(body[name], kind), name
    assert body["status"] in ("in_progress", "completed", "incomplete", "failed")
    assert (body["usage"] is not None) == (body["status"] in ("completed", "incomplete"))
    assert (body["completed_at"] is not None) == (body["status"] == "completed")
    assert (body["incomplete_details"] is not None) == (body["status"] == "incomplete")
    assert (body["error"] is not None) == (body["status"] == "failed")
    return body


def events(data: bytes) -> list[dict[str, Any]]:
    """The events of a stream, less comments and the `[DONE]` that ends one which did not fail."""
    assert data == b"" or data.endswith(b"\n\n")
    found = []
    blocks = [block for block in data.decode().split("\n\n")[:-1] if not block.startswith(":")]
    if blocks and blocks[-1] == "data: [DONE]":
        blocks.pop()
        assert "response.failed" not in data.decode()
    for block in blocks:
        name, line = block.split("\n")
        event = json.loads(line.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        EVENT.validate_python(event, strict=True)
        found.append(event)
    return found


class Reader:
    """Puts a response together from its events, and refuses any that comes out of order."""

    def __init__(self) -> None:
        self.output: list[dict[str, Any]] = []
        self.final: dict[str, Any] = {}
        self.types: list[str] = []
        self._open: set[int] = set()
        self._parts: dict[int, dict[str, Any] | None] = {}

    def read(self, found: list[dict[str, Any]]) -> "Reader":
        for event in found:
            assert not self.final, "nothing follows the end"
            assert event["sequence_number"] == len(self.types)
            self.types.append(event["type"])
            self._take(event)
        return self

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind in ("response.created", "response.in_progress"):
            assert self.types == ["response.created", "response.in_progress"][: len(self.types)]
            shown = response(event["response"])
            assert (shown["status"], shown["output"]) == ("in_progress", [])
        elif kind in TERMINAL:
            self.final = response(event["response"])
            if kind != "response.failed":
                assert not self._open
            assert kind.removeprefix("response.") == self.final["status"]
        elif kind == "error":
            assert event["error"]["message"] == event["message"]
        elif kind == "response.output_item.added":
            assert self.types[:2] == ["response.created", "response.in_progress"]
            assert event["output_index"] == len(self.output)
            self._open.add(event["output_index"])
            self._parts[event["output_index"]] = None
            assert event["item"]["status"] == "in_progress"
            self.output.append(event["item"])
        else:
            self._of_an_item(event)

    def _of_an_item(self, event: dict[str, Any]) -> None:
        kind, index = event["type"].removeprefix("response."), event["output_index"]
        assert index in self._open, "of an item that is not there, or over"
        item = self.output[index]
        if kind == "output_item.done":
            assert self._parts[index] is None
            assert _told(item) == _told(event["item"]), "the item is what its pieces amount to"
            assert event["item"]["status"] in ("completed", "incomplete")
            self._open.remove(index)
            self.output[index] = event["item"]
            return
        assert event["item_id"] == item["id"]
        if kind == "function_call_arguments.delta":
            item["arguments"] += event["delta"]
        elif kind == "function_call_arguments.done":
            assert event["arguments"] == item["arguments"]
        else:
            thought = item["type"] == "reasoning"
            self._of_a_part(kind, event, item["summary" if thought else "content"], thought=thought)

    def _of_a_part(self, kind: str, event: dict[str, Any], parts: list[dict[str, Any]], *, thought: bool) -> None:
        index = event["output_index"]
        place = event["summary_index" if thought else "content_index"]
        part = self._parts[index]
        if kind in ("content_part.added", "reasoning_summary_part.added"):
            assert (part, place) == (None, len(parts))
            parts.append(event["part"])
            self._parts[index] = event["part"]
            return
        assert part is not None
        assert place == len(parts) - 1
        text = "refusal" if part["type"] == "refusal" else "text"
        if kind in ("content_part.done", "reasoning_summary_part.done"):
            assert event["part"] == part
            self._parts[index] = None
        elif kind.endswith(".delta"):
            part[text] += event["delta"]
            if part["type"] == "output_text":
                part["logprobs"] += event["logprobs"]
        else:
            assert event[text] == part[text]
            assert event.get("logprobs", []) == part.get("logprobs", [])


def _told(item: dict[str, Any]) -> dict[str, Any]:
    """What of an item comes in pieces, or was there from the beginning."""
    return {name: value for name, value in item.items() if name not in ("status", "extra_content")}
