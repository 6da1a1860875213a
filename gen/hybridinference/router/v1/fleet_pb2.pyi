import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from hybridinference.inference.v1 import routing_pb2 as _routing_pb2
from hybridinference.inference.v1 import worker_status_pb2 as _worker_status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WorkerHealth(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORKER_HEALTH_UNSPECIFIED: _ClassVar[WorkerHealth]
    WORKER_HEALTH_HEALTHY: _ClassVar[WorkerHealth]
    WORKER_HEALTH_LOADING: _ClassVar[WorkerHealth]
    WORKER_HEALTH_DRAINING: _ClassVar[WorkerHealth]
    WORKER_HEALTH_UNREACHABLE: _ClassVar[WorkerHealth]
    WORKER_HEALTH_EJECTED: _ClassVar[WorkerHealth]
    WORKER_HEALTH_STALLED: _ClassVar[WorkerHealth]
WORKER_HEALTH_UNSPECIFIED: WorkerHealth
WORKER_HEALTH_HEALTHY: WorkerHealth
WORKER_HEALTH_LOADING: WorkerHealth
WORKER_HEALTH_DRAINING: WorkerHealth
WORKER_HEALTH_UNREACHABLE: WorkerHealth
WORKER_HEALTH_EJECTED: WorkerHealth
WORKER_HEALTH_STALLED: WorkerHealth

class FleetWorker(_message.Message):
    __slots__ = ("worker", "address", "provider", "health", "leases", "status", "status_age", "first_content_latency", "routes")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STATUS_AGE_FIELD_NUMBER: _ClassVar[int]
    FIRST_CONTENT_LATENCY_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    worker: str
    address: str
    provider: str
    health: WorkerHealth
    leases: int
    status: _worker_status_pb2.WorkerStatus
    status_age: _duration_pb2.Duration
    first_content_latency: _duration_pb2.Duration
    routes: _containers.RepeatedCompositeFieldContainer[FleetRoute]
    def __init__(self, worker: _Optional[str] = ..., address: _Optional[str] = ..., provider: _Optional[str] = ..., health: _Optional[_Union[WorkerHealth, str]] = ..., leases: _Optional[int] = ..., status: _Optional[_Union[_worker_status_pb2.WorkerStatus, _Mapping]] = ..., status_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., first_content_latency: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., routes: _Optional[_Iterable[_Union[FleetRoute, _Mapping]]] = ...) -> None: ...

class FleetRoute(_message.Message):
    __slots__ = ("model", "provider_model", "fallback", "drop_unsupported", "role", "aliases", "drained")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_MODEL_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    DROP_UNSUPPORTED_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    DRAINED_FIELD_NUMBER: _ClassVar[int]
    model: str
    provider_model: str
    fallback: bool
    drop_unsupported: bool
    role: _routing_pb2.RouteRole
    aliases: _containers.RepeatedScalarFieldContainer[str]
    drained: bool
    def __init__(self, model: _Optional[str] = ..., provider_model: _Optional[str] = ..., fallback: _Optional[bool] = ..., drop_unsupported: _Optional[bool] = ..., role: _Optional[_Union[_routing_pb2.RouteRole, str]] = ..., aliases: _Optional[_Iterable[str]] = ..., drained: _Optional[bool] = ...) -> None: ...
