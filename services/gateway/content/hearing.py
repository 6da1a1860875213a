"""What was answered: the pieces that the caller was given, folded, as far as they are kept."""

from collections.abc import Sequence
from typing import Any

from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.content.capture import MOST_BYTES, Writer

# A text in many pieces takes many times its size.
_PIECES = 256


class Heard:
    """Takes events in order, as they are delivered."""

    __slots__ = ("_choices", "_left", "cut", "vectors")

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}
        self._left = MOST_BYTES
        self.cut = False
        self.vectors: tuple[int, int] | None = None  # of an embedding: how many, of which length

    def hear(self, ready: Sequence[generation.GenerationEvent]) -> None:
        """Take what is delivered; what is too much is not kept."""
        for event in ready:
            if event.HasField("delta"):
                if self._left <= 0:
                    self.cut = True
                    return
                delta = event.delta
                choice = self._choices.get(delta.choice)
                if choice is None:
                    choice = self._choices[delta.choice] = _Choice()
                self._left -= choice.take(delta)

    def answered(self, writer: Writer) -> dict[str, Any]:
        """All of it, written down; `cut` of the writer is true where some is missing."""
        if self.vectors is not None:
            count, dimensions = self.vectors
            return {"embeddings": count, "dimensions": dimensions}
        written = [choice.written(index, writer) for index, choice in sorted(self._choices.items())]
        writer.cut = writer.cut or self.cut
        return {"choices": written}

    @property
    def size(self) -> int:
        """About how many characters are kept."""
        return MOST_BYTES - self._left


class _Choice:
    __slots__ = ("_calls", "_reasoning", "_refusal", "_text")

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, tuple[generation.ToolCallDelta, list[str]]] = {}

    def take(self, delta: generation.Delta) -> int:
        """Keep a piece. How many characters that are, and one more for the piece itself."""
        size = 1 + _add(self._text, delta.text) + _add(self._reasoning, delta.reasoning)
        size += _add(self._refusal, delta.refusal)
        for called in delta.tool_calls:
            first = generation.ToolCallDelta(id=called.id, name=called.name)
            call, arguments = self._calls.setdefault(called.index, (first, []))
            call.id = call.id or called.id
            call.name = call.name or called.name
            size += _add(arguments, called.arguments_json) + len(called.id) + len(called.name)
        return size

    def written(self, index: int, writer: Writer) -> dict[str, Any]:
        made: dict[str, Any] = {"index": index}
        for kind, pieces in (("text", self._text), ("reasoning", self._reasoning), ("refusal", self._refusal)):
            if pieces:
                made[kind] = writer.text("".join(pieces))
        if self._calls:
            made["tool_calls"] = [
                {
                    "id": writer.text(call.id),
                    "name": writer.text(call.name),
                    "arguments_json": writer.text("".join(arguments), is_json=True),
                }
                for _, (call, arguments) in sorted(self._calls.items())
            ]
        return made


def _add(pieces: list[str], piece: str) -> int:
    """Keep a piece of a text. How many characters that are."""
    if piece:
        pieces.append(piece)
        if len(pieces) >= _PIECES:
            pieces[:] = ["".join(pieces)]
    return len(piece)
