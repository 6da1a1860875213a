import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.rpc import status_pb2 as _status_pb2
from hybridinference.inference.v1 import generation_pb2 as _generation_pb2
from hybridinference.inference.v1 import provider_try_pb2 as _provider_try_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SessionCommand(_message.Message):
    __slots__ = ("start", "cancel", "credit")
    START_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    start: StartAttempt
    cancel: CancelAttempt
    credit: GrantCredit
    def __init__(self, start: _Optional[_Union[StartAttempt, _Mapping]] = ..., cancel: _Optional[_Union[CancelAttempt, _Mapping]] = ..., credit: _Optional[_Union[GrantCredit, _Mapping]] = ...) -> None: ...

class StartAttempt(_message.Message):
    __slots__ = ("attempt_id", "spec", "time_left", "credit_bytes", "traceparent", "generation_id", "tenant", "drop_unsupported", "continuation", "prefix_hashes")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    TIME_LEFT_FIELD_NUMBER: _ClassVar[int]
    CREDIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DROP_UNSUPPORTED_FIELD_NUMBER: _ClassVar[int]
    CONTINUATION_FIELD_NUMBER: _ClassVar[int]
    PREFIX_HASHES_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    spec: _generation_pb2.GenerationSpec
    time_left: _duration_pb2.Duration
    credit_bytes: int
    traceparent: str
    generation_id: str
    tenant: str
    drop_unsupported: bool
    continuation: Continuation
    prefix_hashes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, attempt_id: _Optional[str] = ..., spec: _Optional[_Union[_generation_pb2.GenerationSpec, _Mapping]] = ..., time_left: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., credit_bytes: _Optional[int] = ..., traceparent: _Optional[str] = ..., generation_id: _Optional[str] = ..., tenant: _Optional[str] = ..., drop_unsupported: _Optional[bool] = ..., continuation: _Optional[_Union[Continuation, _Mapping]] = ..., prefix_hashes: _Optional[_Iterable[int]] = ...) -> None: ...

class Continuation(_message.Message):
    __slots__ = ("token_ids", "text")
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    text: str
    def __init__(self, token_ids: _Optional[_Iterable[int]] = ..., text: _Optional[str] = ...) -> None: ...

class CancelAttempt(_message.Message):
    __slots__ = ("attempt_id",)
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    def __init__(self, attempt_id: _Optional[str] = ...) -> None: ...

class GrantCredit(_message.Message):
    __slots__ = ("attempt_id", "bytes")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    bytes: int
    def __init__(self, attempt_id: _Optional[str] = ..., bytes: _Optional[int] = ...) -> None: ...

class AttemptEvent(_message.Message):
    __slots__ = ("attempt_id", "generation", "status", "tries")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TRIES_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    generation: _generation_pb2.GenerationEvent
    status: _status_pb2.Status
    tries: _containers.RepeatedCompositeFieldContainer[_provider_try_pb2.ProviderTry]
    def __init__(self, attempt_id: _Optional[str] = ..., generation: _Optional[_Union[_generation_pb2.GenerationEvent, _Mapping]] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., tries: _Optional[_Iterable[_Union[_provider_try_pb2.ProviderTry, _Mapping]]] = ...) -> None: ...
