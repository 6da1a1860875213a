import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from hybridinference.inference.v1 import generation_pb2 as _generation_pb2
from hybridinference.inference.v1 import provider_try_pb2 as _provider_try_pb2
from hybridinference.inference.v1 import routing_pb2 as _routing_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_SUCCESS: _ClassVar[Outcome]
    OUTCOME_ERROR: _ClassVar[Outcome]
    OUTCOME_CANCELLED: _ClassVar[Outcome]
    OUTCOME_DEADLINE: _ClassVar[Outcome]
    OUTCOME_SHED: _ClassVar[Outcome]
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_SUCCESS: Outcome
OUTCOME_ERROR: Outcome
OUTCOME_CANCELLED: Outcome
OUTCOME_DEADLINE: Outcome
OUTCOME_SHED: Outcome

class LedgerRecord(_message.Message):
    __slots__ = ("request", "attempts")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    request: RequestRecord
    attempts: _containers.RepeatedCompositeFieldContainer[AttemptRecord]
    def __init__(self, request: _Optional[_Union[RequestRecord, _Mapping]] = ..., attempts: _Optional[_Iterable[_Union[AttemptRecord, _Mapping]]] = ...) -> None: ...

class RequestRecord(_message.Message):
    __slots__ = ("generation_id", "api", "operation", "model", "streamed", "received_at", "first_content_at", "ended_at", "outcome", "error_reason", "finish_reasons", "usage", "config_version", "provider", "worker", "provider_model", "user", "edge_request_id", "trace_id", "estimated_input_tokens", "max_output_tokens", "refused_by", "prefix_hashes")
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    API_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STREAMED_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    FIRST_CONTENT_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ERROR_REASON_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASONS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_MODEL_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    EDGE_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_BY_FIELD_NUMBER: _ClassVar[int]
    PREFIX_HASHES_FIELD_NUMBER: _ClassVar[int]
    generation_id: str
    api: str
    operation: str
    model: str
    streamed: bool
    received_at: _timestamp_pb2.Timestamp
    first_content_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    outcome: Outcome
    error_reason: str
    finish_reasons: _containers.RepeatedScalarFieldContainer[_generation_pb2.FinishReason]
    usage: _generation_pb2.Usage
    config_version: str
    provider: str
    worker: str
    provider_model: str
    user: str
    edge_request_id: str
    trace_id: str
    estimated_input_tokens: int
    max_output_tokens: int
    refused_by: _routing_pb2.Decision
    prefix_hashes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, generation_id: _Optional[str] = ..., api: _Optional[str] = ..., operation: _Optional[str] = ..., model: _Optional[str] = ..., streamed: _Optional[bool] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., first_content_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., error_reason: _Optional[str] = ..., finish_reasons: _Optional[_Iterable[_Union[_generation_pb2.FinishReason, str]]] = ..., usage: _Optional[_Union[_generation_pb2.Usage, _Mapping]] = ..., config_version: _Optional[str] = ..., provider: _Optional[str] = ..., worker: _Optional[str] = ..., provider_model: _Optional[str] = ..., user: _Optional[str] = ..., edge_request_id: _Optional[str] = ..., trace_id: _Optional[str] = ..., estimated_input_tokens: _Optional[int] = ..., max_output_tokens: _Optional[int] = ..., refused_by: _Optional[_Union[_routing_pb2.Decision, _Mapping]] = ..., prefix_hashes: _Optional[_Iterable[int]] = ...) -> None: ...

class AttemptRecord(_message.Message):
    __slots__ = ("attempt_id", "number", "provider", "worker", "provider_model", "strategy", "placed_at", "first_content_at", "ended_at", "outcome", "error_reason", "usage", "tries", "kind", "decision")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_MODEL_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    PLACED_AT_FIELD_NUMBER: _ClassVar[int]
    FIRST_CONTENT_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ERROR_REASON_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    TRIES_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    number: int
    provider: str
    worker: str
    provider_model: str
    strategy: str
    placed_at: _timestamp_pb2.Timestamp
    first_content_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    outcome: Outcome
    error_reason: str
    usage: _generation_pb2.Usage
    tries: _containers.RepeatedCompositeFieldContainer[_provider_try_pb2.ProviderTry]
    kind: str
    decision: _routing_pb2.Decision
    def __init__(self, attempt_id: _Optional[str] = ..., number: _Optional[int] = ..., provider: _Optional[str] = ..., worker: _Optional[str] = ..., provider_model: _Optional[str] = ..., strategy: _Optional[str] = ..., placed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., first_content_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., error_reason: _Optional[str] = ..., usage: _Optional[_Union[_generation_pb2.Usage, _Mapping]] = ..., tries: _Optional[_Iterable[_Union[_provider_try_pb2.ProviderTry, _Mapping]]] = ..., kind: _Optional[str] = ..., decision: _Optional[_Union[_routing_pb2.Decision, _Mapping]] = ...) -> None: ...
