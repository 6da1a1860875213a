import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from hybridinference.gateway.v1 import ledger_pb2 as _ledger_pb2
from hybridinference.inference.v1 import model_pb2 as _model_pb2
from hybridinference.inference.v1 import routing_pb2 as _routing_pb2
from hybridinference.inference.v1 import worker_status_pb2 as _worker_status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OverviewExtent(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OVERVIEW_EXTENT_UNSPECIFIED: _ClassVar[OverviewExtent]
    OVERVIEW_EXTENT_HEALTH: _ClassVar[OverviewExtent]
    OVERVIEW_EXTENT_OWN: _ClassVar[OverviewExtent]
    OVERVIEW_EXTENT_ALL: _ClassVar[OverviewExtent]
OVERVIEW_EXTENT_UNSPECIFIED: OverviewExtent
OVERVIEW_EXTENT_HEALTH: OverviewExtent
OVERVIEW_EXTENT_OWN: OverviewExtent
OVERVIEW_EXTENT_ALL: OverviewExtent

class ProcessOverview(_message.Message):
    __slots__ = ("name", "role", "host", "state")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    name: str
    role: str
    host: str
    state: str
    def __init__(self, name: _Optional[str] = ..., role: _Optional[str] = ..., host: _Optional[str] = ..., state: _Optional[str] = ...) -> None: ...

class WorkerOverview(_message.Message):
    __slots__ = ("worker", "provider", "kind", "health", "models", "leases", "running", "waiting", "capacity", "emitted", "kv_usage", "prefix_query_tokens", "prefix_hit_tokens", "headroom", "loading_progress", "first_content_latency", "status_age")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    EMITTED_FIELD_NUMBER: _ClassVar[int]
    KV_USAGE_FIELD_NUMBER: _ClassVar[int]
    PREFIX_QUERY_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PREFIX_HIT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    HEADROOM_FIELD_NUMBER: _ClassVar[int]
    LOADING_PROGRESS_FIELD_NUMBER: _ClassVar[int]
    FIRST_CONTENT_LATENCY_FIELD_NUMBER: _ClassVar[int]
    STATUS_AGE_FIELD_NUMBER: _ClassVar[int]
    worker: str
    provider: str
    kind: str
    health: str
    models: _containers.RepeatedScalarFieldContainer[str]
    leases: int
    running: int
    waiting: int
    capacity: int
    emitted: int
    kv_usage: float
    prefix_query_tokens: int
    prefix_hit_tokens: int
    headroom: _containers.RepeatedCompositeFieldContainer[_worker_status_pb2.Headroom]
    loading_progress: float
    first_content_latency: _duration_pb2.Duration
    status_age: _duration_pb2.Duration
    def __init__(self, worker: _Optional[str] = ..., provider: _Optional[str] = ..., kind: _Optional[str] = ..., health: _Optional[str] = ..., models: _Optional[_Iterable[str]] = ..., leases: _Optional[int] = ..., running: _Optional[int] = ..., waiting: _Optional[int] = ..., capacity: _Optional[int] = ..., emitted: _Optional[int] = ..., kv_usage: _Optional[float] = ..., prefix_query_tokens: _Optional[int] = ..., prefix_hit_tokens: _Optional[int] = ..., headroom: _Optional[_Iterable[_Union[_worker_status_pb2.Headroom, _Mapping]]] = ..., loading_progress: _Optional[float] = ..., first_content_latency: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., status_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ModelOverview(_message.Message):
    __slots__ = ("name", "aliases", "context_tokens", "capabilities", "routes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    context_tokens: int
    capabilities: _containers.RepeatedScalarFieldContainer[_model_pb2.Capability]
    routes: _containers.RepeatedCompositeFieldContainer[RouteOverview]
    def __init__(self, name: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., context_tokens: _Optional[int] = ..., capabilities: _Optional[_Iterable[_Union[_model_pb2.Capability, str]]] = ..., routes: _Optional[_Iterable[_Union[RouteOverview, _Mapping]]] = ...) -> None: ...

class RouteOverview(_message.Message):
    __slots__ = ("provider", "provider_model", "role", "healthy_workers", "workers", "input_pico_usd", "output_pico_usd", "second_pico_usd", "price_source")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_MODEL_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_WORKERS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    INPUT_PICO_USD_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_PICO_USD_FIELD_NUMBER: _ClassVar[int]
    SECOND_PICO_USD_FIELD_NUMBER: _ClassVar[int]
    PRICE_SOURCE_FIELD_NUMBER: _ClassVar[int]
    provider: str
    provider_model: str
    role: str
    healthy_workers: int
    workers: int
    input_pico_usd: int
    output_pico_usd: int
    second_pico_usd: int
    price_source: str
    def __init__(self, provider: _Optional[str] = ..., provider_model: _Optional[str] = ..., role: _Optional[str] = ..., healthy_workers: _Optional[int] = ..., workers: _Optional[int] = ..., input_pico_usd: _Optional[int] = ..., output_pico_usd: _Optional[int] = ..., second_pico_usd: _Optional[int] = ..., price_source: _Optional[str] = ...) -> None: ...

class RequestTotals(_message.Message):
    __slots__ = ("running", "ended", "failed", "input_tokens", "output_tokens", "cost_nano_usd")
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    running: int
    ended: int
    failed: int
    input_tokens: int
    output_tokens: int
    cost_nano_usd: int
    def __init__(self, running: _Optional[int] = ..., ended: _Optional[int] = ..., failed: _Optional[int] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., cost_nano_usd: _Optional[int] = ...) -> None: ...

class RecentRequest(_message.Message):
    __slots__ = ("generation_id", "api", "operation", "model", "streamed", "received_at", "first_content", "duration", "outcome", "error_reason", "provider", "worker", "input_tokens", "cached_tokens", "output_tokens", "cost_nano_usd", "key_id", "owner", "trace_id", "attempts", "refused_by")
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    API_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STREAMED_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    FIRST_CONTENT_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ERROR_REASON_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_BY_FIELD_NUMBER: _ClassVar[int]
    generation_id: str
    api: str
    operation: str
    model: str
    streamed: bool
    received_at: _timestamp_pb2.Timestamp
    first_content: _duration_pb2.Duration
    duration: _duration_pb2.Duration
    outcome: _ledger_pb2.Outcome
    error_reason: str
    provider: str
    worker: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cost_nano_usd: int
    key_id: str
    owner: str
    trace_id: str
    attempts: _containers.RepeatedCompositeFieldContainer[RecentAttempt]
    refused_by: _routing_pb2.Decision
    def __init__(self, generation_id: _Optional[str] = ..., api: _Optional[str] = ..., operation: _Optional[str] = ..., model: _Optional[str] = ..., streamed: _Optional[bool] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., first_content: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., outcome: _Optional[_Union[_ledger_pb2.Outcome, str]] = ..., error_reason: _Optional[str] = ..., provider: _Optional[str] = ..., worker: _Optional[str] = ..., input_tokens: _Optional[int] = ..., cached_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., cost_nano_usd: _Optional[int] = ..., key_id: _Optional[str] = ..., owner: _Optional[str] = ..., trace_id: _Optional[str] = ..., attempts: _Optional[_Iterable[_Union[RecentAttempt, _Mapping]]] = ..., refused_by: _Optional[_Union[_routing_pb2.Decision, _Mapping]] = ...) -> None: ...

class RecentAttempt(_message.Message):
    __slots__ = ("number", "kind", "provider", "worker", "provider_model", "strategy", "placed_after", "first_content", "duration", "outcome", "error_reason", "cost_nano_usd", "decision")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_MODEL_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    PLACED_AFTER_FIELD_NUMBER: _ClassVar[int]
    FIRST_CONTENT_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ERROR_REASON_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    number: int
    kind: str
    provider: str
    worker: str
    provider_model: str
    strategy: str
    placed_after: _duration_pb2.Duration
    first_content: _duration_pb2.Duration
    duration: _duration_pb2.Duration
    outcome: _ledger_pb2.Outcome
    error_reason: str
    cost_nano_usd: int
    decision: _routing_pb2.Decision
    def __init__(self, number: _Optional[int] = ..., kind: _Optional[str] = ..., provider: _Optional[str] = ..., worker: _Optional[str] = ..., provider_model: _Optional[str] = ..., strategy: _Optional[str] = ..., placed_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., first_content: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., outcome: _Optional[_Union[_ledger_pb2.Outcome, str]] = ..., error_reason: _Optional[str] = ..., cost_nano_usd: _Optional[int] = ..., decision: _Optional[_Union[_routing_pb2.Decision, _Mapping]] = ...) -> None: ...
