"""Log probabilities of a chunk."""

import math
import re
from collections.abc import Mapping
from typing import Any

from hybridinference.inference.v1 import generation_pb2 as generation

from services.inference.text import valid_text
from services.workers.vendor import failures

# OpenAI's own value for what is too unlikely to tell.
_LEAST = -9999.0
_IN_BYTES = re.compile(r"bytes:(\\x[0-9a-fA-F]{2})+")


def token_logprobs(value: object) -> list[generation.TokenLogprob]:
    """The `logprobs` of a choice, of its content and else of its refusal.

    Raises:
        Failure: PROVIDER_MALFORMED.
    """
    if not isinstance(value, dict):
        return []
    positions = value.get("content") or value.get("refusal") or []
    try:
        return [_position(position) for position in positions]
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
        raise failures.malformed("log probabilities that cannot be read") from None


def legacy_logprobs(value: object) -> list[generation.TokenLogprob]:
    """The `logprobs` of a prompt's completion, which are lists side by side.

    Raises:
        Failure: PROVIDER_MALFORMED.
    """
    if not isinstance(value, dict):
        return []
    try:
        tokens, logprobs = value["tokens"], value["token_logprobs"]
        tops = value.get("top_logprobs") or [None] * len(tokens)
        return [_legacy_position(*position) for position in zip(tokens, logprobs, tops, strict=True)]
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
        raise failures.malformed("log probabilities that cannot be read") from None


def _legacy_position(token: str, logprob: float | None, top: Mapping[str, float] | None) -> generation.TokenLogprob:
    likeliest = sorted((top or {}).items(), key=lambda item: -_logprob(item[1]))
    return generation.TokenLogprob(
        token=valid_text(token),
        logprob=_logprob(logprob),
        token_bytes=_legacy_bytes(token),
        top=[
            generation.TopLogprob(token=valid_text(other), logprob=_logprob(its), token_bytes=_legacy_bytes(other))
            for other, its in likeliest
        ],
    )


def _legacy_bytes(token: str) -> bytes:
    """The bytes of a token. One that is no whole characters is written `bytes:\\xf0\\x9f`."""
    if _IN_BYTES.fullmatch(token):
        return bytes.fromhex(token.removeprefix("bytes:").replace("\\x", ""))
    return valid_text(token).encode()


def _position(position: Mapping[str, Any]) -> generation.TokenLogprob:
    return generation.TokenLogprob(
        token=valid_text(position["token"]),
        logprob=_logprob(position["logprob"]),
        token_bytes=_bytes(position),
        top=[
            generation.TopLogprob(
                token=valid_text(other["token"]), logprob=_logprob(other["logprob"]), token_bytes=_bytes(other)
            )
            for other in position.get("top_logprobs") or ()
        ],
    )


def _logprob(value: float | None) -> float:
    return _LEAST if value is None or math.isnan(value) else min(max(float(value), _LEAST), 0.0)


def _bytes(position: Mapping[str, Any]) -> bytes:
    given = position.get("bytes")
    return bytes(given) if isinstance(given, list) else valid_text(position["token"]).encode()
