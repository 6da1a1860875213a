import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.rpc import status_pb2 as _status_pb2
from hybridinference.inference.v1 import generation_pb2 as _generation_pb2
from hybridinference.inference.v1 import model_pb2 as _model_pb2
from hybridinference.inference.v1 import routing_pb2 as _routing_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AttemptKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTEMPT_KIND_UNSPECIFIED: _ClassVar[AttemptKind]
    ATTEMPT_KIND_RETRY: _ClassVar[AttemptKind]
    ATTEMPT_KIND_HEDGE: _ClassVar[AttemptKind]
    ATTEMPT_KIND_CONTINUATION: _ClassVar[AttemptKind]
    ATTEMPT_KIND_SHADOW: _ClassVar[AttemptKind]
ATTEMPT_KIND_UNSPECIFIED: AttemptKind
ATTEMPT_KIND_RETRY: AttemptKind
ATTEMPT_KIND_HEDGE: AttemptKind
ATTEMPT_KIND_CONTINUATION: AttemptKind
ATTEMPT_KIND_SHADOW: AttemptKind

class PlacementAsk(_message.Message):
    __slots__ = ("generation_id", "model", "input_tokens", "max_output_tokens", "capabilities", "time_left", "prefix_hashes", "affinity", "block_tokens", "key", "key_weight", "criticality", "first_content_slo", "max_cost_nano_usd", "tags", "providers", "worker", "continuable", "key_id", "traceparent")
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    TIME_LEFT_FIELD_NUMBER: _ClassVar[int]
    PREFIX_HASHES_FIELD_NUMBER: _ClassVar[int]
    AFFINITY_FIELD_NUMBER: _ClassVar[int]
    BLOCK_TOKENS_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    KEY_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    CRITICALITY_FIELD_NUMBER: _ClassVar[int]
    FIRST_CONTENT_SLO_FIELD_NUMBER: _ClassVar[int]
    MAX_COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    CONTINUABLE_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    generation_id: str
    model: str
    input_tokens: int
    max_output_tokens: int
    capabilities: _containers.RepeatedScalarFieldContainer[_model_pb2.Capability]
    time_left: _duration_pb2.Duration
    prefix_hashes: _containers.RepeatedScalarFieldContainer[int]
    affinity: int
    block_tokens: int
    key: str
    key_weight: float
    criticality: _routing_pb2.Criticality
    first_content_slo: _duration_pb2.Duration
    max_cost_nano_usd: int
    tags: _containers.RepeatedScalarFieldContainer[str]
    providers: _containers.RepeatedScalarFieldContainer[str]
    worker: str
    continuable: bool
    key_id: str
    traceparent: str
    def __init__(self, generation_id: _Optional[str] = ..., model: _Optional[str] = ..., input_tokens: _Optional[int] = ..., max_output_tokens: _Optional[int] = ..., capabilities: _Optional[_Iterable[_Union[_model_pb2.Capability, str]]] = ..., time_left: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., prefix_hashes: _Optional[_Iterable[int]] = ..., affinity: _Optional[int] = ..., block_tokens: _Optional[int] = ..., key: _Optional[str] = ..., key_weight: _Optional[float] = ..., criticality: _Optional[_Union[_routing_pb2.Criticality, str]] = ..., first_content_slo: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_cost_nano_usd: _Optional[int] = ..., tags: _Optional[_Iterable[str]] = ..., providers: _Optional[_Iterable[str]] = ..., worker: _Optional[str] = ..., continuable: _Optional[bool] = ..., key_id: _Optional[str] = ..., traceparent: _Optional[str] = ...) -> None: ...

class Placement(_message.Message):
    __slots__ = ("generation_id", "attempt_id", "number", "worker", "address", "provider", "provider_model", "strategy", "delay", "drop_unsupported", "role", "kind", "hedge_after", "max_cost_nano_usd", "expected_first_content", "decision", "shadow")
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_MODEL_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    DELAY_FIELD_NUMBER: _ClassVar[int]
    DROP_UNSUPPORTED_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    HEDGE_AFTER_FIELD_NUMBER: _ClassVar[int]
    MAX_COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIRST_CONTENT_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    generation_id: str
    attempt_id: str
    number: int
    worker: str
    address: str
    provider: str
    provider_model: str
    strategy: str
    delay: _duration_pb2.Duration
    drop_unsupported: bool
    role: _routing_pb2.RouteRole
    kind: AttemptKind
    hedge_after: _duration_pb2.Duration
    max_cost_nano_usd: int
    expected_first_content: _duration_pb2.Duration
    decision: _routing_pb2.Decision
    shadow: Placement
    def __init__(self, generation_id: _Optional[str] = ..., attempt_id: _Optional[str] = ..., number: _Optional[int] = ..., worker: _Optional[str] = ..., address: _Optional[str] = ..., provider: _Optional[str] = ..., provider_model: _Optional[str] = ..., strategy: _Optional[str] = ..., delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., drop_unsupported: _Optional[bool] = ..., role: _Optional[_Union[_routing_pb2.RouteRole, str]] = ..., kind: _Optional[_Union[AttemptKind, str]] = ..., hedge_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_cost_nano_usd: _Optional[int] = ..., expected_first_content: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., decision: _Optional[_Union[_routing_pb2.Decision, _Mapping]] = ..., shadow: _Optional[_Union[Placement, _Mapping]] = ...) -> None: ...

class Waiting(_message.Message):
    __slots__ = ("generation_id", "ahead")
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    AHEAD_FIELD_NUMBER: _ClassVar[int]
    generation_id: str
    ahead: int
    def __init__(self, generation_id: _Optional[str] = ..., ahead: _Optional[int] = ...) -> None: ...

class HedgeAsk(_message.Message):
    __slots__ = ("attempt_id", "time_left", "spent_nano_usd")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_LEFT_FIELD_NUMBER: _ClassVar[int]
    SPENT_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    time_left: _duration_pb2.Duration
    spent_nano_usd: int
    def __init__(self, attempt_id: _Optional[str] = ..., time_left: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., spent_nano_usd: _Optional[int] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("generation_id", "status", "attempt_id", "decision")
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    generation_id: str
    status: _status_pb2.Status
    attempt_id: str
    decision: _routing_pb2.Decision
    def __init__(self, generation_id: _Optional[str] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., attempt_id: _Optional[str] = ..., decision: _Optional[_Union[_routing_pb2.Decision, _Mapping]] = ...) -> None: ...

class FirstContent(_message.Message):
    __slots__ = ("attempt_id", "latency")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    latency: _duration_pb2.Duration
    def __init__(self, attempt_id: _Optional[str] = ..., latency: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class AttemptOutcome(_message.Message):
    __slots__ = ("attempt_id", "status", "committed", "usage", "duration", "time_left", "wanted", "continuable", "spent_nano_usd")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    TIME_LEFT_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    CONTINUABLE_FIELD_NUMBER: _ClassVar[int]
    SPENT_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    status: _status_pb2.Status
    committed: bool
    usage: _generation_pb2.Usage
    duration: _duration_pb2.Duration
    time_left: _duration_pb2.Duration
    wanted: bool
    continuable: bool
    spent_nano_usd: int
    def __init__(self, attempt_id: _Optional[str] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., committed: _Optional[bool] = ..., usage: _Optional[_Union[_generation_pb2.Usage, _Mapping]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., time_left: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., wanted: _Optional[bool] = ..., continuable: _Optional[bool] = ..., spent_nano_usd: _Optional[int] = ...) -> None: ...

class RunningLease(_message.Message):
    __slots__ = ("attempt_id", "generation_id", "worker", "model", "committed", "ask", "number", "tried", "age")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    ASK_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TRIED_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    generation_id: str
    worker: str
    model: str
    committed: bool
    ask: PlacementAsk
    number: int
    tried: _containers.RepeatedScalarFieldContainer[str]
    age: _duration_pb2.Duration
    def __init__(self, attempt_id: _Optional[str] = ..., generation_id: _Optional[str] = ..., worker: _Optional[str] = ..., model: _Optional[str] = ..., committed: _Optional[bool] = ..., ask: _Optional[_Union[PlacementAsk, _Mapping]] = ..., number: _Optional[int] = ..., tried: _Optional[_Iterable[str]] = ..., age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
