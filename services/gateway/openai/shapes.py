"""Pieces that streamed and whole answers have in common, as OpenAI shapes them."""

from collections.abc import Iterable
from typing import Any

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from services.gateway.openai import signatures

FINISH = {
    generation.FINISH_REASON_STOP: "stop",
    generation.FINISH_REASON_LENGTH: "length",
    generation.FINISH_REASON_TOOL_CALLS: "tool_calls",
    generation.FINISH_REASON_BLOCKED: "content_filter",
}
# OpenAI's own value for what is too unlikely to tell; JSON has no -Infinity.
_LEAST_LOGPROB = -9999.0


def finish_reason(reason: "generation.FinishReason") -> str:
    """How a choice ended.

    Raises:
        Failure: TRUNCATED, when the provider did not say: a client must not take a cut answer for a whole one.
    """
    known = FINISH.get(reason)
    if known is None:
        raise Failure(reasons.ERROR_REASON_TRUNCATED, "The provider did not say how the answer ended.")
    return known


def usage(counted: generation.Usage) -> dict[str, Any]:
    """Tokens of the whole generation."""
    return {
        "prompt_tokens": counted.input_tokens,
        "completion_tokens": counted.output_tokens,
        "total_tokens": counted.input_tokens + counted.output_tokens,
        "prompt_tokens_details": {"cached_tokens": counted.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": counted.reasoning_tokens},
    }


def tool_call(call: generation.ToolCallDelta, *, indexed: bool) -> dict[str, Any]:
    """A tool call, or with an index a piece of one: then its id, type and name stand only in the first."""
    shaped: dict[str, Any] = {"index": call.index} if indexed else {}
    if not indexed or call.id or call.name:
        shaped |= {"id": call.id, "type": "function"}
        shaped["function"] = {"name": call.name, "arguments": call.arguments_json}
    else:
        shaped["function"] = {"arguments": call.arguments_json}
    return shaped | signatures.shaped(call.signature)


def reasoning(text: str) -> dict[str, str]:
    """Thinking, under both names that clients read it by."""
    return {"reasoning": text, "reasoning_content": text} if text else {}


def logprobs(delta: generation.Delta) -> dict[str, Any] | None:
    """Log probabilities of a piece, or None where there are none."""
    if not delta.logprobs:
        return None
    tokens = [token(one) | {"top_logprobs": [token(top) for top in one.top]} for one in delta.logprobs]
    refused = bool(delta.refusal and not delta.text)
    return {"content": None if refused else tokens, "refusal": tokens if refused else None}


def token(drawn: generation.TokenLogprob | generation.TopLogprob) -> dict[str, Any]:
    """The log probability of a token."""
    return {
        "token": drawn.token,
        "logprob": logprob(drawn),
        "bytes": list(drawn.token_bytes) if drawn.token_bytes else None,
    }


def logprob(drawn: generation.TokenLogprob | generation.TopLogprob) -> float:
    """A log probability that JSON has: nothing is likelier than certain, and NaN is as good as the least."""
    return min(0.0, max(_LEAST_LOGPROB, drawn.logprob))


def tool_calls(calls: Iterable[generation.ToolCallDelta], *, indexed: bool) -> list[dict[str, Any]]:
    """Several tool calls, or pieces of them."""
    return [tool_call(call, indexed=indexed) for call in calls]
