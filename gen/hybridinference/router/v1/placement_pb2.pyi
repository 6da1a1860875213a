import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.rpc import status_pb2 as _status_pb2
from hybridinference.inference.v1 import generation_pb2 as _generation_pb2
from hybridinference.inference.v1 import model_pb2 as _model_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PlacementAsk(_message.Message):
    __slots__ = ("generation_id", "model", "input_tokens", "max_output_tokens", "capabilities", "time_left", "prefix_hashes", "affinity")
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    TIME_LEFT_FIELD_NUMBER: _ClassVar[int]
    PREFIX_HASHES_FIELD_NUMBER: _ClassVar[int]
    AFFINITY_FIELD_NUMBER: _ClassVar[int]
    generation_id: str
    model: str
    input_tokens: int
    max_output_tokens: int
    capabilities: _containers.RepeatedScalarFieldContainer[_model_pb2.Capability]
    time_left: _duration_pb2.Duration
    prefix_hashes: _containers.RepeatedScalarFieldContainer[int]
    affinity: int
    def __init__(self, generation_id: _Optional[str] = ..., model: _Optional[str] = ..., input_tokens: _Optional[int] = ..., max_output_tokens: _Optional[int] = ..., capabilities: _Optional[_Iterable[_Union[_model_pb2.Capability, str]]] = ..., time_left: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., prefix_hashes: _Optional[_Iterable[int]] = ..., affinity: _Optional[int] = ...) -> None: ...

class Placement(_message.Message):
    __slots__ = ("generation_id", "attempt_id", "number", "worker", "address", "provider", "provider_model", "strategy", "delay", "drop_unsupported")
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
    def __init__(self, generation_id: _Optional[str] = ..., attempt_id: _Optional[str] = ..., number: _Optional[int] = ..., worker: _Optional[str] = ..., address: _Optional[str] = ..., provider: _Optional[str] = ..., provider_model: _Optional[str] = ..., strategy: _Optional[str] = ..., delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., drop_unsupported: _Optional[bool] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("generation_id", "status")
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    generation_id: str
    status: _status_pb2.Status
    def __init__(self, generation_id: _Optional[str] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class FirstContent(_message.Message):
    __slots__ = ("attempt_id", "latency")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    latency: _duration_pb2.Duration
    def __init__(self, attempt_id: _Optional[str] = ..., latency: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class AttemptOutcome(_message.Message):
    __slots__ = ("attempt_id", "status", "committed", "usage", "duration", "time_left", "wanted")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    TIME_LEFT_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    status: _status_pb2.Status
    committed: bool
    usage: _generation_pb2.Usage
    duration: _duration_pb2.Duration
    time_left: _duration_pb2.Duration
    wanted: bool
    def __init__(self, attempt_id: _Optional[str] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., committed: _Optional[bool] = ..., usage: _Optional[_Union[_generation_pb2.Usage, _Mapping]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., time_left: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., wanted: _Optional[bool] = ...) -> None: ...

class RunningLease(_message.Message):
    __slots__ = ("attempt_id", "generation_id", "worker", "model", "committed")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    generation_id: str
    worker: str
    model: str
    committed: bool
    def __init__(self, attempt_id: _Optional[str] = ..., generation_id: _Optional[str] = ..., worker: _Optional[str] = ..., model: _Optional[str] = ..., committed: _Optional[bool] = ...) -> None: ...
