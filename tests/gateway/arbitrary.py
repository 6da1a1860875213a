"""Arbitrary messages of any type, for properties that must hold for whatever a peer may send."""

from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

M = TypeVar("M", bound=Message)

_INT32 = st.integers(-(1 << 31), (1 << 31) - 1)
_SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_STRING: st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=8),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_DOUBLE: st.floats(),
    FieldDescriptor.TYPE_INT64: st.integers(-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.TYPE_INT32: _INT32,
    FieldDescriptor.TYPE_UINT32: st.integers(0, (1 << 32) - 1),
}


def message(kind: type[M], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[M]:
    """Any message of a kind; `fields` says what scalars of certain names, at any depth, are drawn from."""
    return st.deferred(lambda: _message(kind.DESCRIPTOR, fields))


def _message(descriptor: Descriptor, fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    made: Callable[..., Message] = GetMessageClass(descriptor)
    single = {field.name: _field(field, fields) for field in descriptor.fields if field.containing_oneof is None}
    whole = st.fixed_dictionaries({}, optional=single)
    for oneof in descriptor.oneofs:
        one = st.one_of(
            st.just({}),
            *(st.fixed_dictionaries({field.name: _field(field, fields)}) for field in oneof.fields),
        )
        whole = st.tuples(whole, one).map(lambda both: both[0] | both[1])
    return whole.map(lambda values: made(**values))


def _field(field: FieldDescriptor, fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return st.dictionaries(*(_one(kind.fields_by_name[part], fields) for part in ("key", "value")), max_size=3)
    return st.lists(_one(field, fields), max_size=3) if field.is_repeated else _one(field, fields)


def _one(field: FieldDescriptor, fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    if field.name in fields:
        return fields[field.name]
    if field.message_type is not None:
        return st.deferred(lambda: _message(field.message_type, fields))
    if field.enum_type is not None:
        return st.one_of(st.sampled_from([value.number for value in field.enum_type.values]), _INT32)
    return _SCALARS[field.type]
