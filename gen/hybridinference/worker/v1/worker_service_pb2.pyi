import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from hybridinference.inference.v1 import embedding_pb2 as _embedding_pb2
from hybridinference.inference.v1 import generation_pb2 as _generation_pb2
from hybridinference.inference.v1 import provider_try_pb2 as _provider_try_pb2
from hybridinference.inference.v1 import worker_status_pb2 as _worker_status_pb2
from hybridinference.worker.v1 import session_pb2 as _session_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SessionRequest(_message.Message):
    __slots__ = ("commands",)
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    commands: _containers.RepeatedCompositeFieldContainer[_session_pb2.SessionCommand]
    def __init__(self, commands: _Optional[_Iterable[_Union[_session_pb2.SessionCommand, _Mapping]]] = ...) -> None: ...

class SessionResponse(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[_session_pb2.AttemptEvent]
    def __init__(self, events: _Optional[_Iterable[_Union[_session_pb2.AttemptEvent, _Mapping]]] = ...) -> None: ...

class ExecuteRequest(_message.Message):
    __slots__ = ("spec", "generation_id", "tenant", "drop_unsupported")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DROP_UNSUPPORTED_FIELD_NUMBER: _ClassVar[int]
    spec: _generation_pb2.GenerationSpec
    generation_id: str
    tenant: str
    drop_unsupported: bool
    def __init__(self, spec: _Optional[_Union[_generation_pb2.GenerationSpec, _Mapping]] = ..., generation_id: _Optional[str] = ..., tenant: _Optional[str] = ..., drop_unsupported: _Optional[bool] = ...) -> None: ...

class ExecuteResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: _generation_pb2.GenerationEvent
    def __init__(self, event: _Optional[_Union[_generation_pb2.GenerationEvent, _Mapping]] = ...) -> None: ...

class EmbedRequest(_message.Message):
    __slots__ = ("spec", "time_left", "attempt_id", "generation_id", "tenant", "drop_unsupported", "traceparent")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    TIME_LEFT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DROP_UNSUPPORTED_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    spec: _embedding_pb2.EmbeddingSpec
    time_left: _duration_pb2.Duration
    attempt_id: str
    generation_id: str
    tenant: str
    drop_unsupported: bool
    traceparent: str
    def __init__(self, spec: _Optional[_Union[_embedding_pb2.EmbeddingSpec, _Mapping]] = ..., time_left: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., attempt_id: _Optional[str] = ..., generation_id: _Optional[str] = ..., tenant: _Optional[str] = ..., drop_unsupported: _Optional[bool] = ..., traceparent: _Optional[str] = ...) -> None: ...

class EmbedResponse(_message.Message):
    __slots__ = ("embeddings", "usage", "provider_model", "dropped_fields")
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_MODEL_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELDS_FIELD_NUMBER: _ClassVar[int]
    embeddings: _containers.RepeatedCompositeFieldContainer[_embedding_pb2.Embedding]
    usage: _generation_pb2.Usage
    provider_model: str
    dropped_fields: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, embeddings: _Optional[_Iterable[_Union[_embedding_pb2.Embedding, _Mapping]]] = ..., usage: _Optional[_Union[_generation_pb2.Usage, _Mapping]] = ..., provider_model: _Optional[str] = ..., dropped_fields: _Optional[_Iterable[str]] = ...) -> None: ...

class EmbedTries(_message.Message):
    __slots__ = ("tries",)
    TRIES_FIELD_NUMBER: _ClassVar[int]
    tries: _containers.RepeatedCompositeFieldContainer[_provider_try_pb2.ProviderTry]
    def __init__(self, tries: _Optional[_Iterable[_Union[_provider_try_pb2.ProviderTry, _Mapping]]] = ...) -> None: ...

class WatchStatusRequest(_message.Message):
    __slots__ = ("prefixes",)
    PREFIXES_FIELD_NUMBER: _ClassVar[int]
    prefixes: bool
    def __init__(self, prefixes: _Optional[bool] = ...) -> None: ...

class WatchStatusResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: _worker_status_pb2.WorkerStatus
    def __init__(self, status: _Optional[_Union[_worker_status_pb2.WorkerStatus, _Mapping]] = ...) -> None: ...
