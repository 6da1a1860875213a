"""JSON Schemas of POST /v1/responses: what its codec takes, and what it writes.

What a schema cannot say is told in words: that names of tools are unique and `tool_choice` names one of them, that
base64 is whole, and that there has to be something to answer.
"""

from services.gateway import validate
from services.gateway.openai import tools
from services.gateway.openai.fields import UINT32
from services.gateway.openai.members import (
    AUDIO,
    BEYOND,
    CONVERSATION,
    DETAIL,
    EXTRA,
    MODEL_NAME,
    PICTURE_URL,
    SAMPLING,
    TOKENS,
    USERS,
)
from services.gateway.openai.members import UNUSED as UNSTORED
from services.gateway.openai.responses import items, request
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

_ADDRESS: Schema = {"type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://"}
_FILE = {"file_data": TEXT, "file_url": _ADDRESS, "file_id": TEXT}
_INPUT_TEXT = typed("input_text", {"text": TEXT}, "text")
_PARTS = (
    _INPUT_TEXT,
    typed("input_image", {"image_url": PICTURE_URL, "detail": DETAIL}, "image_url"),
    typed("input_file", {"filename": nullable(TEXT), **{name: nullable(one) for name, one in _FILE.items()}})
    | {"oneOf": [{"required": [name], "properties": {name: one}} for name, one in _FILE.items()]},
    AUDIO,
)
_SAID = (typed("output_text", {"text": TEXT}, "text"), typed("refusal", {"refusal": TEXT}, "refusal"))


def _message(role: str) -> Schema:
    if role == "assistant":
        content = either(TEXT, array(either(*_SAID)))
    else:
        part = either(*_PARTS) if role == "user" else _INPUT_TEXT
        content = either(TEXT, array(part, minItems=1))
    kind: Schema = {"enum": ["message", None]}
    return record({"type": kind, "role": constant(role), "content": content}, "role", "content")


_THOUGHTS = nullable(array(record({"text": TEXT}, "text")))
_ITEMS = (
    *map(_message, items.ROLES),
    typed("reasoning", {"content": _THOUGHTS, "summary": _THOUGHTS}),
    typed(
        "function_call",
        {"call_id": NOT_EMPTY, "namespace": nullable(TEXT), "name": TEXT, "arguments": TEXT, "extra_content": EXTRA},
        "call_id", "name", "arguments",
    ),
    typed(
        "function_call_output",
        {"call_id": NOT_EMPTY, "output": either(TEXT, array(_INPUT_TEXT))},
        "call_id", "output",
    ),
)  # fmt: skip


def _function(name: Schema) -> Schema:
    members = {"description": nullable(TEXT), "parameters": nullable(PARAMETERS), "strict": nullable(BOOLEAN)}
    return typed("function", {"name": name, **members}, "name")


_TOOL = either(
    _function({"type": "string", "pattern": f"^{validate.TOOL_NAME.pattern}$"}),
    typed(
        "namespace",
        {"name": TEXT, "description": nullable(TEXT), "tools": nullable(array(_function(TEXT)))},
        "name",
    ),
)
_NAMED = typed("function", {"name": TEXT}, "name")
_TOOL_CHOICE = either(
    choice(tools.MODES),
    _NAMED,
    typed("allowed_tools", {"mode": choice(("auto", "required")), "tools": array(_NAMED, minItems=1)}, "mode", "tools"),
)
_FORMAT = either(
    typed("text", {}),
    typed("json_object", {}),
    typed(
        "json_schema",
        {"name": TEXT, "schema": PARAMETERS, "strict": nullable(BOOLEAN), "description": nullable(TEXT)},
        "name", "schema",
    ),
)  # fmt: skip
_PAIRS, _KEY_CHARACTERS, _CHARACTERS = request.METADATA

REQUEST = record(
    {
        "model": MODEL_NAME,
        "input": either(TEXT, array(either(*_ITEMS), minItems=1)),
        "instructions": nullable(TEXT),
        "tools": nullable(array(_TOOL, maxItems=validate.MAX_TOOLS), "Each function has a name of its own."),
        "tool_choice": nullable(_TOOL_CHOICE, "Names one of the tools, or needs one."),
        "parallel_tool_calls": nullable(BOOLEAN),
        **SAMPLING,
        "max_output_tokens": nullable(TOKENS),
        "max_tool_calls": nullable(integer(*UINT32), "The mesh calls no tools."),
        "top_logprobs": nullable(integer(0, validate.MAX_TOP_LOGPROBS)),
        "include": nullable(array(choice(request.INCLUDABLE))),
        "reasoning": nullable(
            record(
                {
                    "effort": nullable(choice(["", *validate.EFFORTS])),
                    "summary": nullable(choice(request.SUMMARIES)),
                    "generate_summary": nullable(choice(request.SUMMARIES)),
                    "context": nullable(choice(request.CONTEXTS)),
                    "mode": nullable(choice(request.MODES)),
                }
            )
        ),
        "text": nullable(
            record({"verbosity": nullable(choice(request.VERBOSITIES)), "format": nullable(_FORMAT)}),
        ),
        "stream": nullable(BOOLEAN, "Answer with server-sent events."),
        "stream_options": nullable(record({"include_obfuscation": nullable(BOOLEAN)})),
        "truncation": {"enum": ["disabled", None]},
        "background": {"enum": [False, None]},
        **CONVERSATION,
        "client_metadata": nullable(record({})),
        **USERS,
        **UNSTORED,
        "metadata": nullable(
            {
                "type": "object",
                "maxProperties": _PAIRS,
                "propertyNames": {"maxLength": _KEY_CHARACTERS},
                "additionalProperties": nullable({"type": "string", "maxLength": _CHARACTERS}),
            },
            "Repeated in the answer.",
        ),
        **{name: ABSENT | {"description": f"It {why}"} for name, why in request.REFUSED.items()},
    },
    "model",
    "input",
    description=BEYOND,
)

_STATUS = choice(("in_progress", "completed", "incomplete", "failed"))
_PART = either(
    typed("output_text", {"text": TEXT, "annotations": array({}), "logprobs": array({})}, "text", "annotations"),
    typed("refusal", {"refusal": TEXT}, "refusal"),
    typed("summary_text", {"text": TEXT}, "text"),
)
_STATED = {"id": TEXT, "status": _STATUS}
_ITEM = either(
    typed(
        "message", {**_STATED, "role": constant("assistant"), "content": array(_PART)}, *_STATED, "role", "content"
    ),
    typed("reasoning", {**_STATED, "summary": array(_PART)}, *_STATED, "summary"),
    typed(
        "function_call",
        {**_STATED, "call_id": TEXT, "name": TEXT, "arguments": TEXT},
        *_STATED, "call_id", "name", "arguments",
    ),
)  # fmt: skip
_USAGE = record(
    {
        "input_tokens": COUNT,
        "input_tokens_details": record({"cached_tokens": COUNT}, "cached_tokens"),
        "output_tokens": COUNT,
        "output_tokens_details": record({"reasoning_tokens": COUNT}, "reasoning_tokens"),
        "total_tokens": COUNT,
    },
    "input_tokens", "input_tokens_details", "output_tokens", "output_tokens_details", "total_tokens",
)  # fmt: skip

RESPONSE = record(
    {
        "id": TEXT,
        "object": constant("response"),
        "created_at": COUNT,
        "completed_at": nullable(COUNT),
        "model": TEXT,
        "status": _STATUS,
        "output": array(_ITEM),
        "usage": nullable(_USAGE),
        "error": nullable(record({"code": TEXT, "message": TEXT}, "code", "message")),
        "incomplete_details": nullable(record({"reason": TEXT}, "reason")),
        "tools": array({"type": "object"}),
        "metadata": {"type": "object"},
        "store": constant(False),
    },
    "id", "object", "created_at", "completed_at", "model", "status", "output", "usage", "error", "incomplete_details",
    "tools", "metadata", "store",
    description="It also repeats what was asked.",
)  # fmt: skip

_GROWING = ("output_text", "refusal", "reasoning_summary_text", "function_call_arguments")


def _event(names: tuple[str, ...], **members: Schema) -> Schema:
    return record({"type": choice(names), "sequence_number": COUNT, **members}, "type", "sequence_number", *members)


_PLACE = {"item_id": TEXT, "output_index": COUNT}
_PIECES = ("content_part", "reasoning_summary_part")
EVENT = either(
    _event(
        tuple(f"response.{name}" for name in ("created", "in_progress", "completed", "incomplete", "failed")),
        response=RESPONSE,
    ),
    _event(("response.output_item.added", "response.output_item.done"), output_index=COUNT, item=_ITEM),
    _event(tuple(f"response.{name}.{what}" for name in _PIECES for what in ("added", "done")), **_PLACE, part=_PART),
    _event(tuple(f"response.{name}.delta" for name in _GROWING), **_PLACE, delta=TEXT),
    _event(tuple(f"response.{name}.done" for name in _GROWING), **_PLACE),
    _event(("error",), code=nullable(TEXT), message=TEXT, param=nullable(TEXT)),
)
