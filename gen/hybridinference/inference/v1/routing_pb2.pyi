import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Criticality(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CRITICALITY_UNSPECIFIED: _ClassVar[Criticality]
    CRITICALITY_SHEDDABLE: _ClassVar[Criticality]
    CRITICALITY_SHEDDABLE_PLUS: _ClassVar[Criticality]
    CRITICALITY_CRITICAL: _ClassVar[Criticality]
    CRITICALITY_CRITICAL_PLUS: _ClassVar[Criticality]

class RouteRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUTE_ROLE_UNSPECIFIED: _ClassVar[RouteRole]
    ROUTE_ROLE_PRIMARY: _ClassVar[RouteRole]
    ROUTE_ROLE_FALLBACK: _ClassVar[RouteRole]
    ROUTE_ROLE_CANARY: _ClassVar[RouteRole]
    ROUTE_ROLE_SHADOW: _ClassVar[RouteRole]
CRITICALITY_UNSPECIFIED: Criticality
CRITICALITY_SHEDDABLE: Criticality
CRITICALITY_SHEDDABLE_PLUS: Criticality
CRITICALITY_CRITICAL: Criticality
CRITICALITY_CRITICAL_PLUS: Criticality
ROUTE_ROLE_UNSPECIFIED: RouteRole
ROUTE_ROLE_PRIMARY: RouteRole
ROUTE_ROLE_FALLBACK: RouteRole
ROUTE_ROLE_CANARY: RouteRole
ROUTE_ROLE_SHADOW: RouteRole

class RoutingHints(_message.Message):
    __slots__ = ("session", "tags", "max_cost_nano_usd", "first_content_slo", "criticality", "worker")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    MAX_COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    FIRST_CONTENT_SLO_FIELD_NUMBER: _ClassVar[int]
    CRITICALITY_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    session: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    max_cost_nano_usd: int
    first_content_slo: _duration_pb2.Duration
    criticality: Criticality
    worker: str
    def __init__(self, session: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., max_cost_nano_usd: _Optional[int] = ..., first_content_slo: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., criticality: _Optional[_Union[Criticality, str]] = ..., worker: _Optional[str] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("strategy", "targets", "eligible", "candidates", "ruled_out")
    class RuledOutEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    ELIGIBLE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    RULED_OUT_FIELD_NUMBER: _ClassVar[int]
    strategy: str
    targets: int
    eligible: int
    candidates: _containers.RepeatedCompositeFieldContainer[CandidateScore]
    ruled_out: _containers.ScalarMap[str, int]
    def __init__(self, strategy: _Optional[str] = ..., targets: _Optional[int] = ..., eligible: _Optional[int] = ..., candidates: _Optional[_Iterable[_Union[CandidateScore, _Mapping]]] = ..., ruled_out: _Optional[_Mapping[str, int]] = ...) -> None: ...

class CandidateScore(_message.Message):
    __slots__ = ("worker", "provider", "provider_model", "role", "score", "terms", "ruled_out_by")
    class TermsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    WORKER_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_MODEL_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    RULED_OUT_BY_FIELD_NUMBER: _ClassVar[int]
    worker: str
    provider: str
    provider_model: str
    role: RouteRole
    score: float
    terms: _containers.ScalarMap[str, float]
    ruled_out_by: str
    def __init__(self, worker: _Optional[str] = ..., provider: _Optional[str] = ..., provider_model: _Optional[str] = ..., role: _Optional[_Union[RouteRole, str]] = ..., score: _Optional[float] = ..., terms: _Optional[_Mapping[str, float]] = ..., ruled_out_by: _Optional[str] = ...) -> None: ...
