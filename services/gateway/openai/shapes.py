"""Pieces that streamed and whole answers have in common, as OpenAI shapes them."""

import base64
from collections.abc import Iterable
from typing import Any

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure

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
    if call.signature:  # where Gemini's own OpenAI-compatible endpoint puts it, and clients send it back from
        text = base64.b64encode(call.signature).decode()
        shaped["extra_content"] = {"google": {"thought_signature": text}}
    return shaped


def reasoning(text: str) -> dict[str, str]:
    """Thinking, under both names that clients read it by."""
    return {"reasoning": text, "reasoning_content": text} if text else {}


def logprobs(delta: generation.Delta) -> dict[str, Any] | None:
    """Log probabilities of a piece, or None where there are none."""
    if not delta.logprobs:
        return None
    tokens = [_token(token) | {"top_logprobs": [_token(top) for top in token.top]} for token in delta.logprobs]
    refused = bool(delta.refusal and not delta.text)
    return {"content": None if refused else tokens, "refusal": tokens if refused else None}


def _token(token: generation.TokenLogprob | generation.TopLogprob) -> dict[str, Any]:
    return {
        "token": token.token,
        # Nothing is likelier than certain; in this order NaN, too, becomes the least.
        "logprob": min(0.0, max(_LEAST_LOGPROB, token.logprob)),
        "bytes": list(token.token_bytes) if token.token_bytes else None,
    }


def tool_calls(calls: Iterable[generation.ToolCallDelta], *, indexed: bool) -> list[dict[str, Any]]:
    """Several tool calls, or pieces of them."""
    return [tool_call(call, indexed=indexed) for call in calls]
