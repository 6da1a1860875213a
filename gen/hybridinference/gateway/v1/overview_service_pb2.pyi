import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from hybridinference.gateway.v1 import overview_pb2 as _overview_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OverviewRequest(_message.Message):
    __slots__ = ("max_requests",)
    MAX_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    max_requests: int
    def __init__(self, max_requests: _Optional[int] = ...) -> None: ...

class OverviewResponse(_message.Message):
    __slots__ = ("extent", "healthy_workers", "total_workers", "gateway", "config_version", "at", "started_at", "models", "requests", "processes", "workers", "totals", "version")
    EXTENT_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_WORKERS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_WORKERS_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    CONFIG_VERSION_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    extent: _overview_pb2.OverviewExtent
    healthy_workers: int
    total_workers: int
    gateway: str
    config_version: str
    at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    models: _containers.RepeatedCompositeFieldContainer[_overview_pb2.ModelOverview]
    requests: _containers.RepeatedCompositeFieldContainer[_overview_pb2.RecentRequest]
    processes: _containers.RepeatedCompositeFieldContainer[_overview_pb2.ProcessOverview]
    workers: _containers.RepeatedCompositeFieldContainer[_overview_pb2.WorkerOverview]
    totals: _overview_pb2.RequestTotals
    version: str
    def __init__(self, extent: _Optional[_Union[_overview_pb2.OverviewExtent, str]] = ..., healthy_workers: _Optional[int] = ..., total_workers: _Optional[int] = ..., gateway: _Optional[str] = ..., config_version: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., models: _Optional[_Iterable[_Union[_overview_pb2.ModelOverview, _Mapping]]] = ..., requests: _Optional[_Iterable[_Union[_overview_pb2.RecentRequest, _Mapping]]] = ..., processes: _Optional[_Iterable[_Union[_overview_pb2.ProcessOverview, _Mapping]]] = ..., workers: _Optional[_Iterable[_Union[_overview_pb2.WorkerOverview, _Mapping]]] = ..., totals: _Optional[_Union[_overview_pb2.RequestTotals, _Mapping]] = ..., version: _Optional[str] = ...) -> None: ...
