"""Log probabilities as this API has them: lists side by side."""

import codecs
from collections.abc import Iterable
from typing import Any

from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.openai.shapes import logprob


class Logprobs:
    """Those of one choice, from piece to piece: each token's place in the text follows from those before it."""

    def __init__(self) -> None:
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._offset = 0

    def shaped(self, tokens: Iterable[generation.TokenLogprob]) -> dict[str, Any]:
        """The next tokens."""
        shaped: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
        for token in tokens:
            name, drawn = _name(token), logprob(token)
            shaped["tokens"].append(name)
            shaped["token_logprobs"].append(drawn)
            # The drawn token is always among them, as with OpenAI, and may be one more than was asked for.
            shaped["top_logprobs"].append(_likeliest(token) | {name: drawn})
            shaped["text_offset"].append(self._offset)
            # In characters. Tokens that share one stand at its beginning.
            self._offset += len(self._characters.decode(_bytes(token)))
        return shaped


def _likeliest(token: generation.TokenLogprob) -> dict[str, float]:
    found: dict[str, float] = {}
    for top in token.top:
        found.setdefault(_name(top), logprob(top))  # of two with the same text, the likelier
    return found


def _name(token: generation.TokenLogprob | generation.TopLogprob) -> str:
    """The token's text; of one that is no whole characters, its bytes as OpenAI writes them."""
    try:
        return token.token_bytes.decode() or token.token
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token.token_bytes)


def _bytes(token: generation.TokenLogprob) -> bytes:
    return token.token_bytes or token.token.encode()
