"""JSON Schemas of POST /v1/embeddings: what its codec takes, and what it writes."""

from services.gateway import validate
from services.gateway.openai.embeddings.request import ENCODINGS
from services.gateway.openai.members import BEYOND, MODEL_NAME, USERS
from services.gateway.openai.schemas import (
    COUNT,
    TEXT,
    array,
    choice,
    constant,
    either,
    inputs,
    integer,
    nullable,
    record,
)

REQUEST = record(
    {
        "model": MODEL_NAME,
        "input": inputs(validate.MAX_INPUTS) | {"description": "A text, the ids of its tokens, or several of either."},
        "encoding_format": nullable(choice(ENCODINGS)),
        "dimensions": nullable(integer(1, validate.MAX_DIMENSIONS)),
        "user": USERS["user"],
    },
    "model",
    "input",
    description=BEYOND,
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
