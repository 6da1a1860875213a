"""JSON Schemas of POST /v1/chat/completions: what its codec takes, and what it writes.

What a schema cannot say is told in words: that names of tools are unique, that `tool_choice` names one of them, that
base64 is whole, that two names of one field agree.
"""

from typing import Any

from services.gateway import validate
from services.gateway.openai import tools
from services.gateway.openai.chat import messages, request
from services.gateway.openai.members import (
    AUDIO,
    BEYOND,
    CONVERSATION,
    DETAIL,
    EXTRA,
    FINISH_REASON,
    MODEL_NAME,
    PICTURE_URL,
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
    NOT_EMPTY,
    PARAMETERS,
    TEXT,
    Schema,
    array,
    choice,
    constant,
    either,
    integer,
    nullable,
    record,
    typed,
)

_TOOL_NAME: Schema = {"type": "string", "pattern": f"^{validate.TOOL_NAME.pattern}$"}


_TEXT_PART = typed("text", {"text": TEXT}, "text")
_PARTS = {
    "text": _TEXT_PART,
    "image_url": typed(
        "image_url",
        {
            "image_url": record(
                {
                    "url": PICTURE_URL,
                    "detail": DETAIL,
                },
                "url",
            )
        },
        "image_url",
    ),
    "input_audio": AUDIO,
    "file": typed(
        "file",
        {
            "file": record(
                {
                    "filename": nullable(TEXT),
                    "file_id": nullable(TEXT, "An id that the provider gave out."),
                    "file_data": nullable(TEXT, "The file in base64, or a data: URL of it."),
                },
                oneOf=[{"required": [name], "properties": {name: TEXT}} for name in ("file_id", "file_data")],
            )
        },
        "file",
    ),
}
_REFUSAL_PART = typed("refusal", {"refusal": TEXT}, "refusal")


def _call(identifier: Schema) -> Schema:
    function = record({"name": TEXT, "arguments": TEXT | {"description": "JSON text."}}, "name", "arguments")
    return typed("function", {"id": identifier, "function": function, "extra_content": EXTRA}, "id", "function")


def _turn(role: str, properties: dict[str, Schema], *required: str, **more: Any) -> Schema:
    return record({"role": constant(role), "name": nullable(TEXT), **properties}, "role", *required, **more)


def _said(parts: list[Schema], **bounds: int) -> Schema:
    return either(TEXT, array(parts[0] if len(parts) == 1 else either(*parts), **bounds))


def _given(name: str, schema: Schema) -> Schema:
    return {"required": [name], "properties": {name: schema}}


_ASSISTANT = _turn(
    "assistant",
    {
        "content": nullable(_said([_TEXT_PART, _REFUSAL_PART])),
        "refusal": nullable(TEXT),
        "reasoning": nullable(TEXT),
        "reasoning_content": nullable(TEXT),
        "tool_calls": nullable(array(_call(NOT_EMPTY))),
        "audio": ABSENT,
        "function_call": ABSENT,
    },
    anyOf=[
        _given("content", either(TEXT, {"type": "array", "minItems": 1})),
        _given("refusal", TEXT),
        _given("tool_calls", {"type": "array", "minItems": 1}),
        _given("reasoning", NOT_EMPTY),
        _given("reasoning_content", NOT_EMPTY),
    ],
)
_TOOL = _turn("tool", {"tool_call_id": NOT_EMPTY, "content": _said([_TEXT_PART])}, "tool_call_id", "content")


def _message(role: str) -> Schema:
    if role in ("assistant", "tool"):
        return _ASSISTANT if role == "assistant" else _TOOL
    parts = [_PARTS[kind] for kind in sorted(messages.PARTS_OF_USER)] if role == "user" else [_TEXT_PART]
    return _turn(role, {"content": _said(parts, minItems=1)}, "content")


_DECLARED_TOOL = typed(
    "function",
    {
        "function": record(
            {
                "name": _TOOL_NAME,
                "description": nullable(TEXT),
                "parameters": nullable(PARAMETERS),
                "strict": nullable(BOOLEAN),
            },
            "name",
        )
    },
    "function",
)
_NAMED_TOOL = typed("function", {"function": record({"name": TEXT}, "name")}, "function")
REQUEST = record(
    {
        "model": MODEL_NAME,
        "messages": array(either(*map(_message, messages.ROLES)), minItems=1, maxItems=validate.MAX_MESSAGES),
        "stream": nullable(BOOLEAN, "Answer with server-sent events."),
        "stream_options": STREAM_OPTIONS,
        **SAMPLING,
        "max_completion_tokens": nullable(TOKENS),
        "max_tokens": nullable(TOKENS, "The older name of max_completion_tokens, with which it must agree."),
        "n": nullable(integer(1, validate.MAX_CHOICES)),
        "logprobs": nullable(BOOLEAN),
        "top_logprobs": nullable(integer(0, validate.MAX_TOP_LOGPROBS), "Needs logprobs to be true."),
        "reasoning_effort": nullable(choice(["", *validate.EFFORTS])),
        "tools": nullable(array(_DECLARED_TOOL, maxItems=validate.MAX_TOOLS), "Each has a name of its own."),
        "tool_choice": nullable(either(choice(tools.MODES), _NAMED_TOOL), "Names one of the tools, or needs one."),
        "parallel_tool_calls": nullable(BOOLEAN),
        "response_format": RESPONSE_FORMAT,
        **USERS,
        **CONVERSATION,
        **UNUSED,
        "modalities": nullable(array(constant("text"))),
        **{name: ABSENT | {"description": f"It {why}"} for name, why in request.REFUSED.items()},
    },
    "model",
    "messages",
    description=BEYOND,
)

_LOGPROB = {
    "token": TEXT,
    "logprob": {"type": "number"},
    "bytes": nullable(array(integer(0, 255))),
}
_LOGPROBS = nullable(
    array(record(_LOGPROB | {"top_logprobs": array(record(_LOGPROB, *_LOGPROB))}, *_LOGPROB, "top_logprobs"))
)
_CHOICE_LOGPROBS = nullable(record({"content": _LOGPROBS, "refusal": _LOGPROBS}, "content", "refusal"))
_REASONING = {"reasoning": TEXT, "reasoning_content": TEXT | {"description": "The same under another name."}}

RESPONSE = record(
    {
        "id": TEXT,
        "object": constant("chat.completion"),
        "created": COUNT,
        "model": TEXT,
        "choices": array(
            record(
                {
                    "index": COUNT,
                    "message": record(
                        {
                            "role": constant("assistant"),
                            "content": nullable(TEXT),
                            "refusal": nullable(TEXT),
                            **_REASONING,
                            "tool_calls": array(_call(TEXT), minItems=1),
                        },
                        "role", "content", "refusal",
                    ),
                    "logprobs": _CHOICE_LOGPROBS,
                    "finish_reason": FINISH_REASON,
                },
                "index", "message", "logprobs", "finish_reason",
            ),
            minItems=1,
        ),
        "usage": USAGE,
        "system_fingerprint": nullable(TEXT),
    },
    "id", "object", "created", "model", "choices", "usage", "system_fingerprint",
)  # fmt: skip

_CALL_PIECE = record(
    {
        "index": COUNT,
        "id": TEXT,
        "type": constant("function"),
        "function": record({"name": TEXT, "arguments": TEXT}, "arguments"),
        "extra_content": record({}),
    },
    "index", "function",
)  # fmt: skip

CHUNK = record(
    {
        "id": TEXT,
        "object": constant("chat.completion.chunk"),
        "created": COUNT,
        "model": TEXT,
        "system_fingerprint": TEXT,
        "choices": array(
            record(
                {
                    "index": COUNT,
                    "delta": record(
                        {
                            "role": constant("assistant") | {"description": "In the first piece of a choice."},
                            "content": nullable(TEXT),
                            "refusal": TEXT,
                            **_REASONING,
                            "tool_calls": array(_CALL_PIECE, minItems=1),
                        }
                    ),
                    "logprobs": _CHOICE_LOGPROBS,
                    "finish_reason": nullable(FINISH_REASON),
                },
                "index", "delta", "logprobs", "finish_reason",
            )
        ),
        "usage": nullable(USAGE, "In the last chunk, where it was asked for; null in those before."),
    },
    "id", "object", "created", "model", "choices",
)  # fmt: skip
