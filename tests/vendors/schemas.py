"""Something that fits a JSON Schema, filled with what a question names."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"|“([^”]+)”")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def instance(schema: Schema, question: str, default: str) -> Any:
    """A value that fits: numbers and quoted texts of the question in their order, and `default` for other texts."""
    numbers = iter([float(found) for found in _NUMBER.findall(question)])
    texts = iter([next(filter(None, found)) for found in _QUOTED.findall(question)])
    return _value(schema, schema, numbers, texts, default)


def _value(schema: Schema, root: Schema, numbers: Iterator[float], texts: Iterator[str], default: str) -> Any:
    schema = _resolved(schema, root)
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind if isinstance(kind, str) else kind[0]
    if kind == "object":
        members = schema.get("properties", {})
        return {name: _value(member, root, numbers, texts, default) for name, member in members.items()}
    if kind == "array":
        items = schema.get("items")
        return [_value(items, root, numbers, texts, default)] if items else []
    if kind in ("integer", "number"):
        number = _within(schema, next(numbers, 21.0))
        return int(number) if kind == "integer" else number
    return {"boolean": True, "null": None}.get(kind) if kind != "string" else next(texts, default)


def _resolved(schema: Schema, root: Schema) -> Schema:
    """The schema behind references and alternatives, the first of which is taken."""
    while True:
        if "$ref" in schema:
            target: Any = root
            for step in schema["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            schema = target
        elif found := next((schema[key] for key in ("anyOf", "oneOf", "allOf") if key in schema), None):
            schema = found[0]
        else:
            return schema


def _within(schema: Schema, number: float) -> float:
    low = schema.get("minimum", schema.get("exclusiveMinimum", number - 1) + 1)
    high = schema.get("maximum", schema.get("exclusiveMaximum", number + 1) - 1)
    return float(min(max(number, low), high))
