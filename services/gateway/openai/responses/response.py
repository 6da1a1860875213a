"""A response as OpenAI's JSON, at any moment of its life."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.openai import shapes
from services.gateway.openai.lines import dumps
from services.gateway.openai.responses.output import Item, Output

# Why an answer is not whole, where it is not.
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


@dataclasses.dataclass(frozen=True, slots=True)
class End:
    """How a response ended.

    Attributes:
        cut: why it is not whole; None where it is.
        usage: tokens of the whole generation.
    """

    cut: str | None
    usage: generation.Usage


def end(finished: generation.Finished) -> End:
    """The end that a `finished` tells.

    Raises:
        Failure: TRUNCATED, when it does not say how the answer ended.
    """
    reason = finished.reasons[0] if finished.reasons else generation.FINISH_REASON_UNSPECIFIED
    return End(_INCOMPLETE.get(shapes.finish_reason(reason)), finished.usage)


class Response:
    """What is the same in every picture of one response."""

    def __init__(
        self, *, identity: str, created: int, model: str, echo: bytes, grouped: Mapping[str, tuple[str, str]]
    ) -> None:
        self._identity, self._grouped = identity, grouped
        self._head = {"id": f"resp_{identity}", "object": "response", "created_at": created, "model": model}
        # Instructions and tools are long, and are told three times in a stream: made into JSON once.
        self._echo = b"," + echo[1:]

    def output(self) -> Output:
        """An output for it, with nothing in it."""
        return Output(self._identity, self._grouped)

    def running(self) -> bytes:
        """As it is at the beginning."""
        return self._shaped([], {"status": "in_progress"})

    def ended(self, items: list[Item], end: End, *, now: int) -> bytes:
        """As it is at the end."""
        usage = _usage(end.usage)
        if end.cut is None:
            return self._shaped(items, {"status": "completed", "completed_at": now, "usage": usage})
        cut = {"status": "incomplete", "incomplete_details": {"reason": end.cut}, "usage": usage}
        return self._shaped(items, cut)

    def failed(self, items: list[Item], error: dict[str, Any]) -> bytes:
        """As it is after a failure."""
        return self._shaped(items, {"status": "failed", "error": error})

    def _shaped(self, items: list[Item], state: dict[str, Any]) -> bytes:
        absent = {"completed_at": None, "error": None, "incomplete_details": None, "usage": None}
        whole = {**self._head, **absent, **state, "output": [item.shaped() for item in items]}
        return dumps(whole)[:-1] + self._echo


def _usage(counted: generation.Usage) -> dict[str, Any]:
    return {
        "input_tokens": counted.input_tokens,
        # No provider's worker tells what was written to a cache.
        "input_tokens_details": {"cached_tokens": counted.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": counted.output_tokens,
        "output_tokens_details": {"reasoning_tokens": counted.reasoning_tokens},
        "total_tokens": counted.input_tokens + counted.output_tokens,
    }
