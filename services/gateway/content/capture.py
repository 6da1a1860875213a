"""What was asked, as JSON without the bytes of pictures and files."""

import dataclasses
import re
from collections.abc import Callable, Iterable
from typing import Any

import orjson
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from hybridinference.inference.v1 import embedding_pb2 as embedding

# Of the question, and of the answer; what is beyond it is cut.
MOST_BYTES = 256 << 10
# What a member costs besides its text: names, quotes, commas.
_MEMBER_BYTES = 16
# The end of a cut text may be half of a number or a key that the whole one would be known by.
DOUBTFUL = 64


@dataclasses.dataclass(frozen=True, slots=True)
class Manner:
    """How things are written down.

    Attributes:
        text: makes of a text what may be kept of it; `text_json` of one that is JSON.
        digest: stands for bytes.
        token_ids: whether ids of tokens may be kept, which are text to whoever has the tokenizer.
        most_bytes: how much in all; None is everything.
        doubtful: how many characters at the end of a cut text are not kept either.
    """

    text: Callable[[str], str]
    text_json: Callable[[str], str]
    digest: Callable[[bytes], str]
    token_ids: bool
    most_bytes: int | None = MOST_BYTES
    doubtful: int = 0


class Writer:
    """Writes things down as what becomes JSON, until there is no more room: then `cut` is true."""

    def __init__(self, manner: Manner) -> None:
        self._manner = manner
        self._left = manner.most_bytes
        self.cut = False

    def message(self, message: Message) -> dict[str, Any]:
        """The fields of a message that are set, by their names in the contract."""
        made: dict[str, Any] = {}
        if isinstance(message, embedding.TokenIds) and not self._manner.token_ids:
            return {"tokens": len(message.ids)}
        for field, value in message.ListFields():
            if not self._has_room():
                break
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                made[field.name] = {str(key): value[key] for key in sorted(value) if self._takes(_MEMBER_BYTES)}
            elif field.is_repeated:
                made[field.name] = self._values(field, value)
            else:
                made[field.name] = self._value(field, value)
        return made

    def text(self, text: str, *, is_json: bool = False) -> str:
        """What is kept of a text, which is cut where there is too little room."""
        kept = self._fitting(text)
        said = (self._manner.text_json if is_json else self._manner.text)(kept)
        return said if kept is text else said[: max(0, len(said) - self._manner.doubtful)]

    def _values(self, field: FieldDescriptor, values: Iterable[Any]) -> list[Any]:
        made = []
        for value in values:
            if not self._has_room():
                break
            made.append(self._value(field, value))
        return made

    def _value(self, field: FieldDescriptor, value: Any) -> Any:
        if field.message_type is not None:
            return self.message(value) if self._takes(_MEMBER_BYTES) else {}
        if isinstance(value, bytes):
            return self._bytes(value)
        if isinstance(value, str):
            if field.name == "url" and value.startswith("data:"):
                return self._bytes(value.encode())
            return self.text(value, is_json=field.name.endswith("_json"))
        self._takes(_MEMBER_BYTES)
        if field.enum_type is not None:
            return _word(field.enum_type, value)
        return value

    def _bytes(self, data: bytes) -> dict[str, Any]:
        self._takes(8 * _MEMBER_BYTES)
        return {"bytes": len(data), "digest": self._manner.digest(data)}

    def _fitting(self, text: str) -> str:
        if self._left is None:
            return text
        size = len(orjson.dumps(text))
        if self._takes(size + _MEMBER_BYTES):
            return text
        room = max(0, self._left)
        self._left = 0
        kept = text.encode()[:room].decode(errors="ignore")
        while kept and len(orjson.dumps(kept)) > room:  # characters that JSON writes as six
            kept = kept[: len(kept) // 2]
        return kept

    def _takes(self, size: int) -> bool:
        """Take that much of the room, unless there is less."""
        if self._left is None:
            return True
        if size > self._left:
            self.cut = True
            return False
        self._left -= size
        return True

    def _has_room(self) -> bool:
        if self._left is not None and self._left < _MEMBER_BYTES:
            self.cut = True
            return False
        return True


def as_json(made: dict[str, Any], *, cut: bool) -> bytes:
    """The JSON of what a writer has made, which says so where some was cut."""
    return orjson.dumps(made | {"cut": True} if cut else made)


def _word(enum: EnumDescriptor, number: int) -> str | int:
    """An enum's value as a word; a newer peer's by its number."""
    known = enum.values_by_number.get(number)
    prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum.name).upper() + "_"
    return known.name.removeprefix(prefix).lower() if known else number
