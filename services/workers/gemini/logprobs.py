"""Log probabilities of a candidate."""

import math
from collections.abc import Mapping
from typing import Any

from hybridinference.inference.v1 import generation_pb2 as generation

from services.inference.text import valid_text
from services.workers.vendor import failures

# OpenAI's own value for what is too unlikely to tell.
_LEAST = -9999.0


def token_logprobs(value: object) -> list[generation.TokenLogprob]:
    """The `logprobsResult` of a candidate.

    Raises:
        Failure: PROVIDER_MALFORMED.
    """
    if not isinstance(value, dict):
        return []
    chosen, others = value.get("chosenCandidates") or [], value.get("topCandidates") or []
    try:
        return [_position(one, others[place] if place < len(others) else {}) for place, one in enumerate(chosen)]
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
        raise failures.malformed("log probabilities that cannot be read") from None


def _position(chosen: Mapping[str, Any], others: Mapping[str, Any]) -> generation.TokenLogprob:
    token = valid_text(chosen.get("token", ""))
    return generation.TokenLogprob(
        token=token,
        logprob=_logprob(chosen),
        token_bytes=token.encode(),
        top=[_alternative(one) for one in others.get("candidates") or ()],
    )


def _alternative(one: Mapping[str, Any]) -> generation.TopLogprob:
    token = valid_text(one.get("token", ""))
    return generation.TopLogprob(token=token, logprob=_logprob(one), token_bytes=token.encode())


def _logprob(one: Mapping[str, Any]) -> float:
    value = one.get("logProbability", 0.0)  # a certainty is 0, and that is left out
    return _LEAST if value is None or math.isnan(value) else min(max(float(value), _LEAST), 0.0)
