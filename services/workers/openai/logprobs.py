"""Log probabilities of a chunk."""

import math
from collections.abc import Mapping
from typing import Any

from hybridinference.inference.v1 import generation_pb2 as generation

from services.inference.text import valid_text
from services.workers.vendor import failures

# OpenAI's own value for what is too unlikely to tell.
_LEAST = -9999.0


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
