import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from hybridinference.inference.v1 import model_pb2 as _model_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WorkerState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORKER_STATE_UNSPECIFIED: _ClassVar[WorkerState]
    WORKER_STATE_LOADING: _ClassVar[WorkerState]
    WORKER_STATE_SERVING: _ClassVar[WorkerState]
    WORKER_STATE_DRAINING: _ClassVar[WorkerState]
    WORKER_STATE_FAILED: _ClassVar[WorkerState]
WORKER_STATE_UNSPECIFIED: WorkerState
WORKER_STATE_LOADING: WorkerState
WORKER_STATE_SERVING: WorkerState
WORKER_STATE_DRAINING: WorkerState
WORKER_STATE_FAILED: WorkerState

class WorkerStatus(_message.Message):
    __slots__ = ("worker", "kind", "state", "epoch", "sequence", "models", "running", "waiting", "capacity", "kv_usage", "kv_capacity_tokens", "queued_tokens", "prefix_query_tokens", "prefix_hit_tokens", "headroom", "loading_progress", "pid", "prefixes", "emitted")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    KV_USAGE_FIELD_NUMBER: _ClassVar[int]
    KV_CAPACITY_TOKENS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PREFIX_QUERY_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PREFIX_HIT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    HEADROOM_FIELD_NUMBER: _ClassVar[int]
    LOADING_PROGRESS_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    PREFIXES_FIELD_NUMBER: _ClassVar[int]
    EMITTED_FIELD_NUMBER: _ClassVar[int]
    worker: str
    kind: str
    state: WorkerState
    epoch: int
    sequence: int
    models: _containers.RepeatedCompositeFieldContainer[WorkerModel]
    running: int
    waiting: int
    capacity: int
    kv_usage: float
    kv_capacity_tokens: int
    queued_tokens: int
    prefix_query_tokens: int
    prefix_hit_tokens: int
    headroom: _containers.RepeatedCompositeFieldContainer[Headroom]
    loading_progress: float
    pid: int
    prefixes: _containers.RepeatedCompositeFieldContainer[PrefixBlocks]
    emitted: int
    def __init__(self, worker: _Optional[str] = ..., kind: _Optional[str] = ..., state: _Optional[_Union[WorkerState, str]] = ..., epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., models: _Optional[_Iterable[_Union[WorkerModel, _Mapping]]] = ..., running: _Optional[int] = ..., waiting: _Optional[int] = ..., capacity: _Optional[int] = ..., kv_usage: _Optional[float] = ..., kv_capacity_tokens: _Optional[int] = ..., queued_tokens: _Optional[int] = ..., prefix_query_tokens: _Optional[int] = ..., prefix_hit_tokens: _Optional[int] = ..., headroom: _Optional[_Iterable[_Union[Headroom, _Mapping]]] = ..., loading_progress: _Optional[float] = ..., pid: _Optional[int] = ..., prefixes: _Optional[_Iterable[_Union[PrefixBlocks, _Mapping]]] = ..., emitted: _Optional[int] = ...) -> None: ...

class PrefixBlocks(_message.Message):
    __slots__ = ("model", "hashes")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    HASHES_FIELD_NUMBER: _ClassVar[int]
    model: str
    hashes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, model: _Optional[str] = ..., hashes: _Optional[_Iterable[int]] = ...) -> None: ...

class WorkerModel(_message.Message):
    __slots__ = ("name", "context_tokens", "capabilities")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    name: str
    context_tokens: int
    capabilities: _containers.RepeatedScalarFieldContainer[_model_pb2.Capability]
    def __init__(self, name: _Optional[str] = ..., context_tokens: _Optional[int] = ..., capabilities: _Optional[_Iterable[_Union[_model_pb2.Capability, str]]] = ...) -> None: ...

class Headroom(_message.Message):
    __slots__ = ("unit", "remaining", "limit", "reset_after")
    UNIT_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    RESET_AFTER_FIELD_NUMBER: _ClassVar[int]
    unit: str
    remaining: int
    limit: int
    reset_after: _duration_pb2.Duration
    def __init__(self, unit: _Optional[str] = ..., remaining: _Optional[int] = ..., limit: _Optional[int] = ..., reset_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
