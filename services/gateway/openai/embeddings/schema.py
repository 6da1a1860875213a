"""JSON Schemas of POST /v1/embeddings: what its codec takes, and what it writes."""

from services.gateway import validate
from services.gateway.openai.embeddings.request import ENCODINGS
from services.gateway.openai.fields import UINT32
from services.gateway.openai.schemas import (
    COUNT,
    TEXT,
    Schema,
    array,
    choice,
    constant,
    either,
    integer,
    nullable,
    record,
)

_INPUT: Schema = {"type": "string", "minLength": 1}
_TOKENS = array(integer(*UINT32), minItems=1)

REQUEST = record(
    {
        "model": {
            "type": "string",
            "minLength": 1,
            "maxLength": validate.MAX_MODEL_CHARACTERS,
            "description": "A name out of /v1/models.",
        },
        "input": either(
            _INPUT,
            _TOKENS,
            array(either(_INPUT, _TOKENS), minItems=1, maxItems=validate.MAX_INPUTS),
        )
        | {"description": "A text, the ids of its tokens, or several of either."},
        "encoding_format": nullable(choice(ENCODINGS)),
        "dimensions": nullable(integer(1, validate.MAX_DIMENSIONS)),
        "user": nullable({"type": "string", "maxLength": validate.MAX_USER_CHARACTERS}, "A label for the end user."),
    },
    "model",
    "input",
    description="What is not named here goes to the provider, which may refuse it. Null counts as absent.",
)

RESPONSE = record(
    {
        "object": constant("list"),
        "data": array(
            record(
                {
                    "object": constant("embedding"),
                    "index": COUNT,
                    "embedding": either(
                        array({"type": "number"}),
                        {
                            "type": "string",
                            "contentEncoding": "base64",
                            "description": "Little-endian 32-bit floats.",
                        },
                    ),
                },
                "object", "index", "embedding",
            )
        ),
        "model": TEXT,
        "usage": record({"prompt_tokens": COUNT, "total_tokens": COUNT}, "prompt_tokens", "total_tokens"),
    },
    "object", "data", "model", "usage",
)  # fmt: skip
