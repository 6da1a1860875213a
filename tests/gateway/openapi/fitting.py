"""Values that fit a JSON Schema, and values that are one mistake away from it."""

import copy
import re
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from jsonschema import Draft202012Validator

Schema = dict[str, Any]
Path = tuple[str | int, ...]

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.floats(-1e300, 1e300) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=3,
)
# In place of what is right. Numbers are beyond every bound there is, or between two integers.
_WRONG: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, -1e9, 1 << 40, -(1 << 70)),
    *("", "?", [], [[]], [None], {}, {"?": {}}),
)


def fitting(schema: Schema) -> st.SearchStrategy[Any]:
    """Values that fit the schema, of the keywords that ours are made of."""
    values = st.one_of([_one(each, schema) for each in _alternatives(schema)])
    # Only where alternatives add to what stands beside them is a value not right by its making.
    beside = {"anyOf", "oneOf"} & schema.keys() and {"properties", "items"} & schema.keys()
    return values.filter(Draft202012Validator(schema).is_valid) if beside else values


def changed(schema: Schema) -> st.SearchStrategy[tuple[Any, Any, Path]]:
    """A value that fits, the same with one change, and where: a member is gone, or something else in its place."""
    return _changed(fitting(schema))


@st.composite
def _changed(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> tuple[Any, Any, Path]:
    value = draw(values)
    path = draw(st.sampled_from(sorted(_paths(value), key=repr)))
    other = copy.deepcopy(value)
    parent = other
    for step in path[:-1]:
        parent = parent[step]
    if isinstance(parent, dict) and draw(st.booleans()):
        del parent[path[-1]]
    else:
        parent[path[-1]] = draw(st.sampled_from(_WRONG))
    return value, other, path


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Paths of all that is inside, at least one."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*path, step)
        yield from _paths(inner, (*path, step))


def _alternatives(schema: Schema) -> list[Schema]:
    return schema.get("anyOf") or schema.get("oneOf") or [{}]


def _one(alternative: Schema, schema: Schema) -> st.SearchStrategy[Any]:
    """Values of one alternative, which may add to what stands beside it."""
    kinds = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type")
    if kinds is None and alternative and not {"properties", "items"} & schema.keys():
        return fitting(alternative)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if kinds is None:
        return ANY
    required = {*schema.get("required", ()), *alternative.get("required", ())}
    return st.one_of([_of_type(kind, schema, required) for kind in kinds])


def _of_type(kind: str, schema: Schema, required: set[str]) -> st.SearchStrategy[Any]:
    if kind == "object":
        return _object(schema, required)
    if kind == "array":
        most = min(schema.get("maxItems", 3), schema.get("minItems", 0) + 2)
        return st.lists(fitting(schema.get("items", {})), min_size=schema.get("minItems", 0), max_size=most)
    if kind == "string":
        if "pattern" in schema:
            return st.from_regex(re.sub(r"\$$", r"\\Z", schema["pattern"]))  # `$` alone lets a line's end follow
        return st.text(st.characters(exclude_categories=["Cs"]), min_size=schema.get("minLength", 0), max_size=8)
    if kind == "integer":
        return st.integers(schema["minimum"], schema.get("maximum"))
    if kind == "number":
        low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
        return st.floats(low, high, exclude_min="exclusiveMinimum" in schema)
    return {"null": st.none(), "boolean": st.booleans()}[kind]


def _object(schema: Schema, required: set[str]) -> st.SearchStrategy[Any]:
    known = {name: fitting(inner) for name, inner in schema.get("properties", {}).items()}
    if "propertyNames" in schema:
        names = fitting({"type": "string", **schema["propertyNames"]})
        return st.dictionaries(names, fitting(schema["additionalProperties"]), max_size=2)
    named = st.fixed_dictionaries(
        {name: known[name] for name in known if name in required},
        optional={name: known[name] for name in known if name not in required},
    )
    more = st.dictionaries(TEXT.filter(lambda name: name not in known), ANY, max_size=1)
    return st.builds(lambda others, ours: others | ours, more, named)
