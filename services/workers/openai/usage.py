"""Tokens, as the server counts them."""

from collections.abc import Mapping
from typing import Any

from hybridinference.inference.v1 import generation_pb2 as generation


def counted(value: object) -> generation.Usage | None:
    """The `usage` of a chunk; None where it is absent or makes no sense."""
    if not isinstance(value, dict):
        return None
    prompt, completion = _count(value, "prompt_tokens"), _count(value, "completion_tokens")
    if prompt is None or completion is None:
        return None
    # DeepSeek's name for it stands at the top.
    cached = _count(_details(value, "prompt_tokens_details"), "cached_tokens")
    cached = cached or _count(value, "prompt_cache_hit_tokens") or 0
    reasoning = _count(_details(value, "completion_tokens_details"), "reasoning_tokens") or 0
    # Parts of the whole, by the contract; not every server sees it so.
    return generation.Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cached_tokens=min(cached, prompt),
        reasoning_tokens=min(reasoning, completion),
    )


def _details(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    details = value.get(name)
    return details if isinstance(details, dict) else {}


def _count(value: Mapping[str, Any], name: str) -> int | None:
    count = value.get(name)
    return count if isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 1 << 32 else None
