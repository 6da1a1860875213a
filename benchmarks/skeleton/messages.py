"""The session's messages, made without generated code: a start, and the pieces of all streams at one step."""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FIELD = descriptor_pb2.FieldDescriptorProto
SERVICE, METHOD = "skeleton.Worker", "Session"
PATH = f"/{SERVICE}/{METHOD}"


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="skeleton.proto", package="skeleton", syntax="proto3")
    one, many = _FIELD.LABEL_OPTIONAL, _FIELD.LABEL_REPEATED
    start = file.message_type.add(name="Start")
    start.field.add(name="stream", number=1, type=_FIELD.TYPE_UINT32, label=one)
    start.field.add(name="tokens", number=2, type=_FIELD.TYPE_UINT32, label=one)  # 0 ends the stream
    piece = file.message_type.add(name="Piece")
    piece.field.add(name="stream", number=1, type=_FIELD.TYPE_UINT32, label=one)
    piece.field.add(name="text", number=2, type=_FIELD.TYPE_STRING, label=one)
    piece.field.add(name="last", number=3, type=_FIELD.TYPE_BOOL, label=one)
    step = file.message_type.add(name="Step")
    step.field.add(name="pieces", number=1, type=_FIELD.TYPE_MESSAGE, type_name=".skeleton.Piece", label=many)
    return file


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_file())
Start: Any = message_factory.GetMessageClass(_POOL.FindMessageTypeByName("skeleton.Start"))
Step: Any = message_factory.GetMessageClass(_POOL.FindMessageTypeByName("skeleton.Step"))
