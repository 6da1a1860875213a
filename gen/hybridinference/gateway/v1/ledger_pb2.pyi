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
    OUTCOME_ABANDONED: _ClassVar[Outcome]
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_SUCCESS: Outcome
OUTCOME_ERROR: Outcome
OUTCOME_CANCELLED: Outcome
OUTCOME_DEADLINE: Outcome
OUTCOME_SHED: Outcome
OUTCOME_ABANDONED: Outcome

class LedgerRecord(_message.Message):
    __slots__ = ("request", "attempts", "content", "prices")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    request: RequestRecord
    attempts: _containers.RepeatedCompositeFieldContainer[AttemptRecord]
    content: ContentRecord
    prices: PriceTable
    def __init__(self, request: _Optional[_Union[RequestRecord, _Mapping]] = ..., attempts: _Optional[_Iterable[_Union[AttemptRecord, _Mapping]]] = ..., content: _Optional[_Union[ContentRecord, _Mapping]] = ..., prices: _Optional[_Union[PriceTable, _Mapping]] = ...) -> None: ...

class ContentRecord(_message.Message):
    __slots__ = ("generation_id", "key_id", "policy", "input", "output", "retention_days")
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    RETENTION_DAYS_FIELD_NUMBER: _ClassVar[int]
    generation_id: str
    key_id: str
    policy: str
    input: str
    output: str
    retention_days: int
    def __init__(self, generation_id: _Optional[str] = ..., key_id: _Optional[str] = ..., policy: _Optional[str] = ..., input: _Optional[str] = ..., output: _Optional[str] = ..., retention_days: _Optional[int] = ...) -> None: ...

class PriceTable(_message.Message):
    __slots__ = ("version", "entries")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    version: str
    entries: _containers.RepeatedCompositeFieldContainer[PriceEntry]
    def __init__(self, version: _Optional[str] = ..., entries: _Optional[_Iterable[_Union[PriceEntry, _Mapping]]] = ...) -> None: ...

class PriceEntry(_message.Message):
    __slots__ = ("provider", "provider_model", "input_pico_usd", "cached_input_pico_usd", "output_pico_usd", "second_pico_usd", "source", "above_input_tokens")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUT_PICO_USD_FIELD_NUMBER: _ClassVar[int]
    CACHED_INPUT_PICO_USD_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_PICO_USD_FIELD_NUMBER: _ClassVar[int]
    SECOND_PICO_USD_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ABOVE_INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    provider: str
    provider_model: str
    input_pico_usd: int
    cached_input_pico_usd: int
    output_pico_usd: int
    second_pico_usd: int
    source: str
    above_input_tokens: int
    def __init__(self, provider: _Optional[str] = ..., provider_model: _Optional[str] = ..., input_pico_usd: _Optional[int] = ..., cached_input_pico_usd: _Optional[int] = ..., output_pico_usd: _Optional[int] = ..., second_pico_usd: _Optional[int] = ..., source: _Optional[str] = ..., above_input_tokens: _Optional[int] = ...) -> None: ...

class RequestRecord(_message.Message):
    __slots__ = ("generation_id", "api", "operation", "model", "streamed", "received_at", "first_content_at", "ended_at", "outcome", "error_reason", "finish_reasons", "usage", "config_version", "provider", "worker", "provider_model", "user", "edge_request_id", "trace_id", "estimated_input_tokens", "max_output_tokens", "refused_by", "prefix_hashes", "key_id", "owner", "cost_nano_usd", "price_version", "session", "gateway_run", "placed_at", "criticality")
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
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    PRICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_RUN_FIELD_NUMBER: _ClassVar[int]
    PLACED_AT_FIELD_NUMBER: _ClassVar[int]
    CRITICALITY_FIELD_NUMBER: _ClassVar[int]
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
    key_id: str
    owner: str
    cost_nano_usd: int
    price_version: str
    session: str
    gateway_run: str
    placed_at: _timestamp_pb2.Timestamp
    criticality: _routing_pb2.Criticality
    def __init__(self, generation_id: _Optional[str] = ..., api: _Optional[str] = ..., operation: _Optional[str] = ..., model: _Optional[str] = ..., streamed: _Optional[bool] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., first_content_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., error_reason: _Optional[str] = ..., finish_reasons: _Optional[_Iterable[_Union[_generation_pb2.FinishReason, str]]] = ..., usage: _Optional[_Union[_generation_pb2.Usage, _Mapping]] = ..., config_version: _Optional[str] = ..., provider: _Optional[str] = ..., worker: _Optional[str] = ..., provider_model: _Optional[str] = ..., user: _Optional[str] = ..., edge_request_id: _Optional[str] = ..., trace_id: _Optional[str] = ..., estimated_input_tokens: _Optional[int] = ..., max_output_tokens: _Optional[int] = ..., refused_by: _Optional[_Union[_routing_pb2.Decision, _Mapping]] = ..., prefix_hashes: _Optional[_Iterable[int]] = ..., key_id: _Optional[str] = ..., owner: _Optional[str] = ..., cost_nano_usd: _Optional[int] = ..., price_version: _Optional[str] = ..., session: _Optional[str] = ..., gateway_run: _Optional[str] = ..., placed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., criticality: _Optional[_Union[_routing_pb2.Criticality, str]] = ...) -> None: ...

class AttemptRecord(_message.Message):
    __slots__ = ("attempt_id", "number", "provider", "worker", "provider_model", "strategy", "placed_at", "first_content_at", "ended_at", "outcome", "error_reason", "usage", "tries", "kind", "decision", "cost_nano_usd", "follows")
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
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    FOLLOWS_FIELD_NUMBER: _ClassVar[int]
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
    cost_nano_usd: int
    follows: str
    def __init__(self, attempt_id: _Optional[str] = ..., number: _Optional[int] = ..., provider: _Optional[str] = ..., worker: _Optional[str] = ..., provider_model: _Optional[str] = ..., strategy: _Optional[str] = ..., placed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., first_content_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., error_reason: _Optional[str] = ..., usage: _Optional[_Union[_generation_pb2.Usage, _Mapping]] = ..., tries: _Optional[_Iterable[_Union[_provider_try_pb2.ProviderTry, _Mapping]]] = ..., kind: _Optional[str] = ..., decision: _Optional[_Union[_routing_pb2.Decision, _Mapping]] = ..., cost_nano_usd: _Optional[int] = ..., follows: _Optional[str] = ...) -> None: ...
