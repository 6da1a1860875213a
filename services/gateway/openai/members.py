"""JSON Schemas of members that several parts of the API have, in requests and in answers."""

from services.chassis import register
from services.gateway import validate
from services.gateway.openai import media, sampling
from services.gateway.openai.fields import INT64
from services.gateway.openai.schemas import (
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
from services.gateway.openai.shapes import FINISH

BEYOND = "What is not named here goes to the provider, which may refuse it. Null counts as absent."

MODEL_NAME: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": validate.MAX_MODEL_CHARACTERS,
    "description": "A name out of /v1/models.",
}
TOKENS = integer(1, validate.MAX_OUTPUT_TOKENS)
_USER: Schema = {"type": "string", "maxLength": validate.MAX_USER_CHARACTERS}
USERS = {
    "user": nullable(_USER, "A label for the end user."),
    "safety_identifier": nullable(_USER, "The newer name of user, which it goes before."),
}
CONVERSATION = {
    "prompt_cache_key": nullable(
        TEXT, "A name for the conversation, so that caches of its earlier turns are found; see x-hybrid-session."
    )
}
PICTURE_URL: Schema = {
    "type": "string",
    "pattern": "^([Hh][Tt][Tt][Pp][Ss]?://|[Dd][Aa][Tt][Aa]:)",
    "description": "An address, or a data: URL of a picture in base64.",
}
DETAIL = nullable(choice(media.DETAILS))
_SOUND: Schema = {"type": "string", "contentEncoding": "base64"}
_FORM: Schema = {"type": "string", "pattern": f"^{media.FORMAT.pattern}$"}
AUDIO = typed(
    "input_audio", {"input_audio": record({"data": _SOUND, "format": _FORM}, "data", "format")}, "input_audio"
)
EXTRA = nullable(
    record({"google": nullable(record({"thought_signature": nullable(TEXT)}))}),
    "What the provider wants back with this call.",
)
_PENALTY: Schema = {"type": "number", "minimum": -2, "maximum": 2}
_BIAS: Schema = {"type": "number", "minimum": -100, "maximum": 100}
SAMPLING = {
    "temperature": nullable({"type": "number", "minimum": 0, "maximum": 2}),
    "top_p": nullable({"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
    "top_k": nullable(integer(1, validate.MAX_TOP_K)),
    "frequency_penalty": nullable(_PENALTY),
    "presence_penalty": nullable(_PENALTY),
    "seed": nullable(integer(*INT64)),
    "stop": nullable(either(NOT_EMPTY, array(NOT_EMPTY, maxItems=validate.MAX_STOPS))),
    "logit_bias": nullable(
        {
            "type": "object",
            "propertyNames": {"pattern": f"^{sampling.TOKEN.pattern}$"},
            "additionalProperties": nullable(_BIAS),
        },
        "Added to the logits of tokens, by token id.",
    ),
}
STREAM_OPTIONS = nullable(
    record(
        {
            "include_usage": nullable(BOOLEAN, "A last chunk tells the tokens."),
            "include_obfuscation": nullable(BOOLEAN, "Nothing is padded, whatever it is."),
            "continuous_usage_stats": nullable(BOOLEAN, "Usage comes once, at the end, whatever it is."),
        }
    )
)
_JSON_SCHEMA = {
    "name": TEXT,
    "schema": PARAMETERS,
    "strict": nullable(BOOLEAN),
    "description": nullable(TEXT),
}
RESPONSE_FORMAT = nullable(
    either(
        typed("text", {}),
        typed("json_object", {}),
        typed("json_schema", {"json_schema": record(_JSON_SCHEMA, "name", "schema")}, "json_schema"),
    )
)
UNUSED = {
    "service_tier": nullable(TEXT, "`auto` and `default` ask for nothing; others are for the provider to judge."),
    "store": {"enum": [False, None], "description": "Answers are not stored."},
    "metadata": nullable({"type": "object"}, "Not used."),
}

FINISH_REASON = choice(FINISH.values())
USAGE = record(
    {
        "prompt_tokens": COUNT,
        "completion_tokens": COUNT,
        "total_tokens": COUNT,
        "prompt_tokens_details": record({"cached_tokens": COUNT}, "cached_tokens"),
        "completion_tokens_details": record({"reasoning_tokens": COUNT}, "reasoning_tokens"),
    },
    "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details",
)  # fmt: skip

ERROR = record(
    {
        "error": record(
            {
                "message": TEXT | {"description": "For people."},
                "type": choice(sorted({row.type for row in register.REASONS.values()})),
                "param": nullable(TEXT, "The field at fault."),
                "code": nullable(TEXT, "For programs: docs/errors.md lists them."),
            },
            "message", "type", "param", "code",
        )
    },
    "error",
)  # fmt: skip

MODEL = record(
    {
        "id": TEXT,
        "object": constant("model"),
        "created": COUNT | {"description": "Seconds since 1970."},
        "owned_by": TEXT,
        "max_model_len": COUNT | {"description": "Most tokens of prompt and answer together, where it is known."},
        "aliases": array(TEXT) | {"description": "Other names that it may be asked for by, where it has any."},
    },
    "id", "object", "created", "owned_by",
)  # fmt: skip
MODELS = record({"object": constant("list"), "data": array(MODEL)}, "object", "data")
