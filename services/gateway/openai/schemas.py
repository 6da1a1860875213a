"""The words that the JSON Schemas of the API are written in."""

from collections.abc import Iterable, Mapping
from typing import Any

from services.gateway.openai.fields import UINT32

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NOT_EMPTY: Schema = {"type": "string", "minLength": 1}
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


def typed(kind: str, properties: Mapping[str, Schema], *required: str) -> Schema:
    """An object whose `type` says what it is."""
    return record({"type": constant(kind), **properties}, "type", *required)


def inputs(most: int) -> Schema:
    """A text, the ids of its tokens, or several of either (services/gateway/openai/inputs.py)."""
    tokens = array(integer(*UINT32), minItems=1)
    return either(NOT_EMPTY, tokens, array(either(NOT_EMPTY, tokens), minItems=1, maxItems=most))
