"""A server that speaks OpenAI's wire protocol by itself."""

import binascii
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from tests.vendors.http_server import Asked, HTTPServer, Script, failing, in_turn, listening

__all__ = ["Asked", "OpenAIServer", "Script", "chunk", "error", "failing", "in_turn", "openai_server", "sse", "text"]
__all__ += ["text_chunk", "tool_calls", "usage"]


class OpenAIServer(HTTPServer):
    """Answers each request as `answer` says, and remembers what it was asked and who is connected."""

    @property
    def base_url(self) -> str:
        return f"{super().base_url}/v1"


@contextlib.asynccontextmanager
async def openai_server(answer: Callable[[Asked], Script]) -> AsyncIterator[OpenAIServer]:
    """The server, on a port of its own."""
    async with listening(OpenAIServer(answer)) as fake:
        yield fake


def chunk(
    delta: dict[str, Any] | None = None, *, index: int = 0, finish: str | None = None, **more: Any
) -> dict[str, Any]:
    """A chunk of one choice."""
    choice = {"index": index, "delta": delta or {}, "finish_reason": finish, **more}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "vendor-model-2026",
        "system_fingerprint": "fp_1",
        "choices": [choice],
        "usage": None,
    }


def text_chunk(text: str = "", *, index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of one choice of a prompt's completion."""
    choice = {"index": index, "text": text, "logprobs": None, "finish_reason": finish, **more}
    return {**chunk(), "id": "cmpl-1", "object": "text_completion", "choices": [choice]}


def usage(prompt: int = 7, completion: int = 3, *, cached: int = 0, reasoning: int = 0) -> dict[str, Any]:
    """The chunk that tells the usage."""
    counted = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    return {**chunk(), "choices": [], "usage": counted}


def sse(*chunks: dict[str, Any], done: bool = True) -> bytes:
    """Chunks as a stream of events."""
    events = [json.dumps(one, ensure_ascii=False) for one in chunks] + (["[DONE]"] if done else [])
    return "".join(f"data: {event}\n\n" for event in events).encode()


def text(*pieces: str, finish: str = "stop") -> bytes:
    """A whole answer of text."""
    deltas = [chunk({"content": piece}) for piece in pieces]
    return sse(chunk({"role": "assistant", "content": ""}), *deltas, chunk(finish=finish), usage(7, len(pieces)))


def tool_calls() -> bytes:
    """Two calls at once, their arguments in pieces, taking turns."""

    def piece(index: int, arguments: str, **first: Any) -> dict[str, Any]:
        function = {"arguments": arguments, **({"name": first.pop("name")} if first else {})}
        return {"index": index, **first, "function": function}

    return sse(
        chunk({"role": "assistant", "content": None}),
        chunk({"tool_calls": [piece(0, "", id="call_a", type="function", name="weather")]}),
        chunk({"tool_calls": [piece(0, '{"city": "Kö')]}),
        chunk({"tool_calls": [piece(1, "", id="call_b", type="function", name="clock")]}),
        chunk({"tool_calls": [piece(0, 'ln"}'), piece(1, '{"zone": ')]}),
        chunk({"tool_calls": [piece(1, '"CET"}')]}),
        chunk(finish="tool_calls"),
        usage(20, 9),
    )


def embeddings(*vectors: Sequence[float], base64: bool = True, tokens: int = 5) -> Script:
    """Vectors, in order."""

    def said(vector: Sequence[float]) -> Any:
        packed = struct.pack(f"<{len(vector)}f", *vector)
        return binascii.b2a_base64(packed, newline=False).decode() if base64 else list(vector)

    items = [{"object": "embedding", "index": n, "embedding": said(vector)} for n, vector in enumerate(vectors)]
    counted = {"prompt_tokens": tokens, "total_tokens": tokens}
    return whole({"object": "list", "data": items, "model": "vendor-model-2026", "usage": counted})


def whole(body: Any) -> Script:
    """An answer that is JSON and not a stream."""
    return Script(json.dumps(body).encode(), headers={"content-type": "application/json"}, chunked=False)


def error(message: str, *, kind: str = "invalid_request_error", code: str | None = None, **more: Any) -> bytes:
    """The body of an error."""
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code, **more}}).encode()
