"""JSON Schemas of what the parts of the API have in common, and the words that they are written in."""

from collections.abc import Iterable, Mapping
from typing import Any

from services.gateway.openai.errors import TABLE

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
ABSENT: Schema = {"type": "null"}
COUNT: Schema = {"type": "integer", "minimum": 0}
PARAMETERS: Schema = {"type": "object", "description": "A JSON Schema."}


def record(properties: Mapping[str, Schema], *required: str, **more: Any) -> Schema:
    """An object. What it has beyond `properties` is allowed, as everywhere in this API."""
    needed = {"required": list(required)} if required else {}
    return {"type": "object", "properties": dict(properties)} | needed | more


def array(items: Schema, **bounds: int) -> Schema:
    """An array; `bounds` are minItems and maxItems."""
    return {"type": "array", "items": items, **bounds}


def integer(low: int, high: int) -> Schema:
    """An integer within bounds."""
    return {"type": "integer", "minimum": low, "maximum": high}


def choice(words: Iterable[str]) -> Schema:
    """One of a few words."""
    return {"type": "string", "enum": list(words)}


def either(*schemas: Schema) -> Schema:
    """Any of several."""
    return {"anyOf": list(schemas)}


def nullable(schema: Schema, description: str = "") -> Schema:
    """The same or null, which counts as absent."""
    said = {"description": description} if description else {}
    if "enum" in schema:
        return schema | {"type": [schema["type"], "null"], "enum": [*schema["enum"], None]} | said
    if isinstance(schema.get("type"), str):
        return schema | {"type": [schema["type"], "null"]} | said
    return either(*schema.get("anyOf", [schema]), ABSENT) | said


def constant(value: str | bool) -> Schema:
    """One value alone."""
    return {"const": value}


ERROR = record(
    {
        "error": record(
            {
                "message": TEXT | {"description": "For people."},
                # Envoy's own replies use two more codes (infrastructure/envoy), and its Lua filter some.
                "type": choice(sorted({kind for _, kind, _ in TABLE.values()})),
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
    },
    "id", "object", "created", "owned_by",
)  # fmt: skip

MODELS = record({"object": constant("list"), "data": array(MODEL)}, "object", "data")
