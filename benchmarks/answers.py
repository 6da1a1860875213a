"""The bytes that the upstream answers with, as OpenAI's API writes them; all but the counts are made once."""

import json
from typing import Any

MODEL = "bench"
WORD = " seven"
PROMPT_TOKENS = 8

_ID = "chatcmpl-019a5c1e7f4b7c3e9d2a6b8c0d1e2f3a"
_CREATED = 1_750_000_000


def reply(status: str, body: object) -> bytes:
    """A whole answer with a JSON body."""
    written = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(written)}\r\n\r\n"
    return head.encode() + written


def error(status: str, message: str) -> bytes:
    """A refusal."""
    said = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return reply(status, {"error": said})


def completion(tokens: int) -> bytes:
    """A whole chat completion of so many tokens."""
    message = {"role": "assistant", "content": WORD * tokens, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return reply("200 OK", {**_object("chat.completion", choice), "usage": _usage(tokens)})


def ending(tokens: int, *, usage: bool) -> bytes:
    """The end of a stream of so many tokens: why it ends, its usage if that was asked for, and the last HTTP chunk."""
    last = {**_object("chat.completion.chunk"), "usage": _usage(tokens)}
    return FINISH + (_event(last) if usage else b"") + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def _object(kind: str, *choices: dict[str, Any]) -> dict[str, Any]:
    return {"id": _ID, "object": kind, "created": _CREATED, "model": MODEL, "choices": choices}


def _usage(tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": tokens,
        "total_tokens": PROMPT_TOKENS + tokens,
    }


def _chunk(body: bytes) -> bytes:
    return f"{len(body):x}\r\n".encode() + body + b"\r\n"


def _event(value: object) -> bytes:
    return _chunk(b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n")


def _piece(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _event(_object("chat.completion.chunk", choice))


HEALTHY = reply("200 OK", {"status": "ok"})
MODELS = reply(
    "200 OK",
    {"object": "list", "data": [{"id": MODEL, "object": "model", "created": _CREATED, "owned_by": "benchmarks"}]},
)
NOT_FOUND = error("404 Not Found", "There is nothing at this path.")
# The head of a stream, and its first event, which tells the role.
BEGINNING = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n" + _piece({"role": "assistant", "content": ""})
)
TOKEN = _piece({"content": WORD})
FINISH = _piece({}, "stop")
