"""Pieces of the tool calls of one choice."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from hybridinference.inference.v1 import generation_pb2 as generation

from services.workers.vendor import failures
from services.workers.vendor.text import Joiner
from services.workers.vendor.wire import loads

# Nobody calls as many tools in a turn; a server that counts on would fill our memory.
_MOST_CALLS = 1024


class Calls:
    """Makes deltas of pieces. Id and name go out once, though some servers say them with every piece."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._arguments: list[list[str]] = []
        self._places: dict[int, int] = {}
        self._named: set[int] = set()
        self._signed: set[int] = set()
        self._joiner = Joiner()

    def delta(self, piece: object) -> generation.ToolCallDelta:
        """One of a chunk's `tool_calls`.

        Raises:
            Failure: PROVIDER_MALFORMED.
        """
        try:
            return self._delta(piece)  # type: ignore[arg-type]  # whatever it is: that is the question
        except (TypeError, AttributeError, ValueError, binascii.Error):
            raise failures.malformed("a tool call that cannot be read") from None

    def _delta(self, piece: Mapping[str, Any]) -> generation.ToolCallDelta:
        function = piece.get("function") or {}
        identifier, name = piece.get("id") or "", function.get("name") or ""
        index = self._index(piece.get("index"), identifier, name)
        delta = generation.ToolCallDelta(index=index)
        if identifier and not self._ids[index]:
            delta.id = self._ids[index] = self._joiner.piece(None, identifier)
        if name and index not in self._named:
            self._named.add(index)
            delta.name = self._joiner.piece(None, name)
        delta.arguments_json = self._joiner.piece(index, function.get("arguments") or "")
        self._arguments[index].append(delta.arguments_json)
        signature = _signature(piece)
        if signature and index not in self._signed:
            self._signed.add(index)
            delta.signature = signature
        return delta

    def _index(self, index: object, identifier: str, name: str) -> int:
        if index is None:  # some servers leave it out: a new id is a new call, anything else goes on with the last
            index = self._known(identifier) if identifier else max(0, len(self._ids) - 1)
        elif isinstance(index, int):
            index = self._place(index, identifier, name)
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < _MOST_CALLS:
            raise failures.malformed("a tool call of an impossible number")
        while len(self._ids) <= index:
            self._ids.append("")
            self._arguments.append([])
        return index

    def _place(self, number: int, identifier: str, name: str) -> int:
        """Where a call of this number is. Some servers, such as Ollama, give the same number to every call."""
        if number not in self._places:
            taken = 0 <= number < len(self._ids) and (self._ids[number] or number in self._named)
            self._places[number] = len(self._ids) if taken else number
        place = self._places[number]
        known = self._ids[place] if 0 <= place < len(self._ids) else ""
        begins = identifier and name and known not in ("", identifier)
        # Others make up a new id for every piece of one call, whose arguments are not whole then.
        if begins and _is_object("".join(self._arguments[place]).strip()):
            self._places[number] = place = self._known(identifier)
        return place

    def _known(self, identifier: str) -> int:
        return self._ids.index(identifier) if identifier in self._ids else len(self._ids)


def _is_object(arguments: str) -> bool:
    return arguments.endswith("}") and isinstance(loads(arguments.encode()), dict)


def _signature(piece: Mapping[str, Any]) -> bytes:
    """Gemini's thought signature, where its OpenAI-compatible endpoint puts it."""
    extra = piece.get("extra_content")
    if not isinstance(extra, dict):
        return b""
    text = (extra.get("google") or {}).get("thought_signature")
    return base64.b64decode(text, validate=True) if isinstance(text, str) else b""
