"""Tokens, as the API counts them."""

from collections.abc import Mapping
from typing import Any

from hybridinference.inference.v1 import generation_pb2 as generation


def counted(value: object) -> generation.Usage | None:
    """A `usageMetadata`; None where it is absent or makes no sense. A count that is left out is 0."""
    if not isinstance(value, dict) or "promptTokenCount" not in value:
        return None
    names = ("promptTokenCount", "toolUsePromptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
    counts = [_count(value, name) for name in (*names, "cachedContentTokenCount")]
    if None in counts:
        return None
    prompt, tool, candidates, thoughts, cached = (count or 0 for count in counts)
    return generation.Usage(
        input_tokens=prompt + tool,
        output_tokens=candidates + thoughts,
        cached_tokens=min(cached, prompt + tool),
        reasoning_tokens=thoughts,
    )


def _count(value: Mapping[str, Any], name: str) -> int | None:
    count = value.get(name, 0)
    return count if isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 1 << 31 else None
