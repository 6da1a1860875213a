"""Thought signatures: what Gemini wants back with the next turn, kept for clients that drop it."""

import collections
import dataclasses
import hashlib
from typing import NamedTuple

# Enough for some thousands of conversations: a signature has a few hundred bytes to some tens of thousands.
_MOST_BYTES = 32 << 20
# What an entry takes beside its signature and the id of its call.
_OVERHEAD_BYTES = 300


class Signed(NamedTuple):
    """A signature of a text, and how many characters at the text's end it came with."""

    signature: bytes
    tail: int


_Key = tuple[str, str, str | bytes]


class Signatures:
    """The last signatures that were given out, the least recently used forgotten first."""

    def __init__(self, *, most_bytes: int = _MOST_BYTES) -> None:
        self._kept: collections.OrderedDict[_Key, Signed] = collections.OrderedDict()
        self._bytes = 0
        self._most_bytes = most_bytes

    def get(self, key: _Key) -> Signed | None:
        """What was kept under the key, if it is still there."""
        signed = self._kept.get(key)
        if signed is not None:
            self._kept.move_to_end(key)
        return signed

    def keep(self, key: _Key, signed: Signed) -> None:
        """Keep, and forget what there is no more room for."""
        self._drop(key)
        self._kept[key] = signed
        self._bytes += _size(key, signed)
        while self._bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: _Key) -> None:
        signed = self._kept.pop(key, None)
        if signed is not None:
            self._bytes -= _size(key, signed)


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """The signatures that one model gave to one caller: they are worth nothing to another of either."""

    kept: Signatures
    tenant: str
    model: str

    def call(self, identifier: str) -> bytes:
        """The signature of a tool call; empty where none is known."""
        signed = self.kept.get((self.tenant, self.model, identifier))
        return signed.signature if signed else b""

    def keep_call(self, identifier: str, signature: bytes) -> None:
        """Keep the signature of a tool call."""
        self.kept.keep((self.tenant, self.model, identifier), Signed(signature, 0))

    def text(self, text: str) -> Signed | None:
        """The signature of an answer's whole text."""
        return self.kept.get((self.tenant, self.model, hashlib.sha256(text.encode()).digest()))

    def keep_text(self, digest: bytes, signed: Signed) -> None:
        """Keep the signature of an answer by the SHA-256 of its whole text: the contract has no place for it."""
        self.kept.keep((self.tenant, self.model, digest), signed)


def _size(key: _Key, signed: Signed) -> int:
    return len(key[2]) + len(signed.signature) + _OVERHEAD_BYTES
