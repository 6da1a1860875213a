"""The bytes of single tokens, which need not be text: a character may be spread over several."""

import re
from collections.abc import Mapping
from typing import Any

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


class Vocabulary:
    """What each token of a tokenizer adds to a text."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        backend = getattr(tokenizer, "backend_tokenizer", None)
        self._byte_level = "ByteLevel" in repr(getattr(backend, "decoder", None))
        self._known: dict[int, bytes] = {}

    def token_bytes(self, token_id: int) -> bytes:
        """The token's own bytes."""
        known = self._known.get(token_id)
        if known is None:
            piece = self._tokenizer.convert_ids_to_tokens(token_id) or ""
            known = byte_level(piece) if self._byte_level else sentence_piece(piece)
            self._known[token_id] = known
        return known


def byte_level(piece: str) -> bytes:
    """The bytes of a piece of a byte-level vocabulary (GPT-2 and most since): a character stands for each byte."""
    try:
        return bytes(_BYTES[character] for character in piece)
    except KeyError:  # an added token, which is written as it is
        return piece.encode("utf-8", "replace")


def sentence_piece(piece: str) -> bytes:
    """The bytes of a piece of a SentencePiece vocabulary (Llama 2, Gemma)."""
    single = _BYTE_TOKEN.fullmatch(piece)
    if single:
        return bytes([int(single[1], 16)])
    return piece.replace("▁", " ").encode("utf-8", "replace")


def _byte_characters() -> Mapping[str, int]:
    """GPT-2's table: printable bytes stand for themselves, the others for the characters from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + index): byte for index, byte in enumerate(others)}


_BYTES = _byte_characters()
