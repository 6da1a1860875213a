"""JSON Schemas of POST /v1/completions: what its codec takes, and what it writes.

What a schema cannot say is told in words: that `best_of` equals `n`, and that `echo` goes neither with `logprobs` nor
with token ids.
"""

from services.gateway import validate
from services.gateway.openai.completions import request
from services.gateway.openai.members import (
    BEYOND,
    CONVERSATION,
    FINISH_REASON,
    MODEL_NAME,
    RESPONSE_FORMAT,
    SAMPLING,
    STREAM_OPTIONS,
    TOKENS,
    UNUSED,
    USAGE,
    USERS,
)
from services.gateway.openai.schemas import (
    ABSENT,
    BOOLEAN,
    COUNT,
    TEXT,
    array,
    constant,
    either,
    inputs,
    integer,
    nullable,
    record,
)

_CHOICES = integer(1, validate.MAX_CHOICES)

REQUEST = record(
    {
        "model": MODEL_NAME,
        "prompt": inputs(request.MAX_PROMPTS) | {"description": "A text, the ids of its tokens, or several of either."},
        "suffix": nullable(TEXT, "What follows the answer, for providers that go on towards it."),
        "echo": nullable(
            either(BOOLEAN, record({})),
            "Begin with the prompt, which is text. An object is for echo models.",
        ),
        "max_tokens": nullable(TOKENS, f"{request.DEFAULT_MAX_TOKENS} where it is absent."),
        "n": nullable(_CHOICES, "Answers to each prompt."),
        "best_of": nullable(_CHOICES, "Equals n."),
        "logprobs": nullable(integer(0, validate.MAX_TOP_LOGPROBS)),
        "stream": nullable(BOOLEAN, "Answer with server-sent events."),
        "stream_options": STREAM_OPTIONS,
        **SAMPLING,
        "response_format": RESPONSE_FORMAT,
        **USERS,
        **CONVERSATION,
        **UNUSED,
        **{name: ABSENT | {"description": f"It {why}"} for name, why in request.REFUSED.items()},
    },
    "model",
    "prompt",
    description=BEYOND,
)

_NUMBER = {"type": "number"}
_LOGPROBS = nullable(
    record(
        {
            "tokens": array(TEXT),
            "token_logprobs": array(_NUMBER),
            "top_logprobs": array({"type": "object", "additionalProperties": _NUMBER}),
            "text_offset": array(COUNT),
        },
        "tokens", "token_logprobs", "top_logprobs", "text_offset",
    )
)  # fmt: skip
_PIECE = {"index": COUNT, "text": TEXT, "logprobs": _LOGPROBS}
_HEAD = {"id": TEXT, "object": constant("text_completion"), "created": COUNT, "model": TEXT}

RESPONSE = record(
    {
        **_HEAD,
        "choices": array(record({**_PIECE, "finish_reason": FINISH_REASON}, *_PIECE, "finish_reason"), minItems=1),
        "usage": USAGE,
        "system_fingerprint": nullable(TEXT),
    },
    *_HEAD, "choices", "usage", "system_fingerprint",
)  # fmt: skip

CHUNK = record(
    {
        **_HEAD,
        "choices": array(record({**_PIECE, "finish_reason": nullable(FINISH_REASON)}, *_PIECE, "finish_reason")),
        "usage": nullable(USAGE, "In the last chunk, where it was asked for; null in those before."),
        "system_fingerprint": TEXT,
    },
    *_HEAD, "choices",
)  # fmt: skip
