"""JSON Schemas of protobuf messages, as Envoy's transcoder reads and prints them (infrastructure/envoy/edge.yaml).

It prints names as in the contracts, 64-bit integers as text, enums by name, bytes in base64, and all scalars, lists and
enums whether set or not; only `optional` fields, members of a oneof and messages may be absent.
"""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from services.gateway.openapi.bounds import BOUNDS
from services.gateway.openapi.comments import Comments

Schema = dict[str, Any]

COMPONENTS = "#/components/schemas/"

_INTEGERS = {
    FieldDescriptor.TYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.TYPE_UINT32: (0, (1 << 32) - 1),
}
_LONG_INTEGERS = {
    FieldDescriptor.TYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.TYPE_UINT64: (0, (1 << 64) - 1),
}
_NUMBERS = (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT)
_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Duration": {
        "type": "string",
        "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$",
        "description": "Seconds, such as 1.5s.",
    },
    "google.protobuf.Timestamp": {
        "type": "string",
        "format": "date-time",
        "description": "A moment, such as 2026-05-01T12:00:00.5Z.",
    },
    # As failures have it, with what its details are in JSON.
    "google.rpc.Status": {"$ref": COMPONENTS + "google.rpc.Status"},
}
# A comment that ends so makes a field required of callers: proto3 has no other way to say it.
_REQUIRED = "Required."


class Messages:
    """Collects the schemas of messages and enums, each under its full name."""

    def __init__(self, comments: Comments) -> None:
        self._comments = comments
        self._asked: dict[str, Schema] = {}
        self._answered: dict[str, Schema] = {}

    def asked(self, message: Descriptor) -> Schema:
        """A reference to the schema of a message that callers send."""
        return self._reference(message, asked=True)

    def answered(self, message: Descriptor) -> Schema:
        """A reference to the schema of a message that callers get."""
        return self._reference(message, asked=False)

    def parameter(self, field: FieldDescriptor) -> Schema:
        """The schema of a field in a query or a path."""
        return self._single(field, asked=True) | BOUNDS.get(field.full_name, {})

    def schemas(self) -> dict[str, Schema]:
        """All that was collected, by full name.

        Raises:
            ValueError: when callers both send and get a message, of which one schema cannot tell what is required.
        """
        both = {
            name for name in self._asked.keys() & self._answered.keys() if self._asked[name] != self._answered[name]
        }
        if both:
            raise ValueError(f"sent and received: {', '.join(sorted(both))}")
        return dict(sorted((self._asked | self._answered).items()))

    def _reference(self, element: Descriptor | EnumDescriptor, *, asked: bool) -> Schema:
        known = self._asked if asked else self._answered
        if element.full_name not in known:
            known[element.full_name] = {}  # first, for messages that hold themselves
            known[element.full_name] = (
                self._enum(element) if isinstance(element, EnumDescriptor) else self._message(element, asked=asked)
            )
        return {"$ref": COMPONENTS + element.full_name}

    def _enum(self, enum: EnumDescriptor) -> Schema:
        name = enum.full_name
        values = [f"- `{value.name}`: {self._comments.of(f'{name}.{value.name}')}" for value in enum.values]
        described = "\n".join((self._comments.of(name), "", *values))
        return {"type": "string", "description": described, "enum": [value.name for value in enum.values]}

    def _message(self, message: Descriptor, *, asked: bool) -> Schema:
        name = message.full_name
        schema: Schema = {"type": "object", "description": self._comments.of(name)}
        properties = {field.name: self._field(field, asked=asked) for field in message.fields}
        if properties:
            schema["properties"] = properties
        required = [
            field.name
            for field in message.fields
            if (self._comments.of(field.full_name).endswith(_REQUIRED) if asked else _always_printed(field))
        ]
        if required:
            schema["required"] = required
        constraints = list(self._oneofs(message))
        return schema | ({"allOf": constraints} if len(constraints) > 1 else constraints[0] if constraints else {})

    def _oneofs(self, message: Descriptor) -> Iterator[Schema]:
        """Exactly one member of each oneof; `optional` fields are oneofs of one, which protoc makes up."""
        for oneof in message.oneofs:
            if not oneof.name.startswith("_"):
                yield {"oneOf": [{"required": [field.name]} for field in oneof.fields]}

    def _field(self, field: FieldDescriptor, *, asked: bool) -> Schema:
        said = self._comments.of(field.full_name)
        bounds = BOUNDS.get(field.full_name, {}) if asked else {}
        return self._several(field, asked=asked) | bounds | ({"description": said} if said else {})

    def _several(self, field: FieldDescriptor, *, asked: bool) -> Schema:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return self._map(field.message_type, asked=asked)
        single = self._single(field, asked=asked)
        return {"type": "array", "items": single} if field.is_repeated else single

    def _map(self, entry: Descriptor, *, asked: bool) -> Schema:
        key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
        names = {} if key.type == FieldDescriptor.TYPE_STRING else {"propertyNames": {"pattern": "^[0-9]{1,10}$"}}
        return {"type": "object", "additionalProperties": self._single(value, asked=asked), **names}

    def _single(self, field: FieldDescriptor, *, asked: bool) -> Schema:
        kind = field.type
        if field.message_type is not None:
            known = _WELL_KNOWN.get(field.message_type.full_name)
            return dict(known) if known else self._reference(field.message_type, asked=asked)
        if field.enum_type is not None:
            return self._reference(field.enum_type, asked=asked)
        if kind in _INTEGERS:
            low, high = _INTEGERS[kind]
            return {"type": "integer", "minimum": low, "maximum": high}
        if kind in _LONG_INTEGERS:
            return _long_integer(*_LONG_INTEGERS[kind], asked=asked)
        if kind in _NUMBERS:
            # JSON has no word for these, so they are printed as text.
            numbers = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}
            return {"type": "number"} if asked else numbers
        if kind == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "format": "byte", "contentEncoding": "base64"}
        if kind == FieldDescriptor.TYPE_BOOL:
            return {"type": "boolean"}
        if kind == FieldDescriptor.TYPE_STRING:
            return {"type": "string"}
        raise ValueError(f"{field.full_name}: no schema is known for its type")


def _always_printed(field: FieldDescriptor) -> bool:
    if field.is_repeated:
        return True
    return field.message_type is None and field.containing_oneof is None


def _long_integer(low: int, high: int, *, asked: bool) -> Schema:
    text = {"type": "string", "pattern": "^-?[0-9]{1,20}$" if low else "^[0-9]{1,20}$"}
    return {"anyOf": [{"type": "integer", "minimum": low, "maximum": high}, text]} if asked else text
