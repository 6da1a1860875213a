import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.rpc import status_pb2 as _status_pb2
from hybridinference.inference.v1 import embedding_pb2 as _embedding_pb2
from hybridinference.inference.v1 import generation_pb2 as _generation_pb2
from hybridinference.inference.v1 import model_pb2 as _model_pb2
from hybridinference.inference.v1 import routing_pb2 as _routing_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GenerateRequest(_message.Message):
    __slots__ = ("spec", "routing")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    ROUTING_FIELD_NUMBER: _ClassVar[int]
    spec: _generation_pb2.GenerationSpec
    routing: _routing_pb2.RoutingHints
    def __init__(self, spec: _Optional[_Union[_generation_pb2.GenerationSpec, _Mapping]] = ..., routing: _Optional[_Union[_routing_pb2.RoutingHints, _Mapping]] = ...) -> None: ...

class GenerateResponse(_message.Message):
    __slots__ = ("generation_id", "provider_model", "choices", "usage", "route", "fingerprint", "dropped_fields")
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_MODEL_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELDS_FIELD_NUMBER: _ClassVar[int]
    generation_id: str
    provider_model: str
    choices: _containers.RepeatedCompositeFieldContainer[Choice]
    usage: _generation_pb2.Usage
    route: Route
    fingerprint: str
    dropped_fields: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, generation_id: _Optional[str] = ..., provider_model: _Optional[str] = ..., choices: _Optional[_Iterable[_Union[Choice, _Mapping]]] = ..., usage: _Optional[_Union[_generation_pb2.Usage, _Mapping]] = ..., route: _Optional[_Union[Route, _Mapping]] = ..., fingerprint: _Optional[str] = ..., dropped_fields: _Optional[_Iterable[str]] = ...) -> None: ...

class Choice(_message.Message):
    __slots__ = ("index", "content", "finish_reason")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    index: int
    content: _generation_pb2.Delta
    finish_reason: _generation_pb2.FinishReason
    def __init__(self, index: _Optional[int] = ..., content: _Optional[_Union[_generation_pb2.Delta, _Mapping]] = ..., finish_reason: _Optional[_Union[_generation_pb2.FinishReason, str]] = ...) -> None: ...

class Route(_message.Message):
    __slots__ = ("provider", "attempts", "queue_time", "worker", "cost_nano_usd")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_TIME_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    provider: str
    attempts: int
    queue_time: _duration_pb2.Duration
    worker: str
    cost_nano_usd: int
    def __init__(self, provider: _Optional[str] = ..., attempts: _Optional[int] = ..., queue_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., worker: _Optional[str] = ..., cost_nano_usd: _Optional[int] = ...) -> None: ...

class StreamGenerateRequest(_message.Message):
    __slots__ = ("spec", "routing")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    ROUTING_FIELD_NUMBER: _ClassVar[int]
    spec: _generation_pb2.GenerationSpec
    routing: _routing_pb2.RoutingHints
    def __init__(self, spec: _Optional[_Union[_generation_pb2.GenerationSpec, _Mapping]] = ..., routing: _Optional[_Union[_routing_pb2.RoutingHints, _Mapping]] = ...) -> None: ...

class StreamGenerateResponse(_message.Message):
    __slots__ = ("event", "generation_id", "route")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    event: _generation_pb2.GenerationEvent
    generation_id: str
    route: Route
    def __init__(self, event: _Optional[_Union[_generation_pb2.GenerationEvent, _Mapping]] = ..., generation_id: _Optional[str] = ..., route: _Optional[_Union[Route, _Mapping]] = ...) -> None: ...

class EmbedRequest(_message.Message):
    __slots__ = ("spec", "routing")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    ROUTING_FIELD_NUMBER: _ClassVar[int]
    spec: _embedding_pb2.EmbeddingSpec
    routing: _routing_pb2.RoutingHints
    def __init__(self, spec: _Optional[_Union[_embedding_pb2.EmbeddingSpec, _Mapping]] = ..., routing: _Optional[_Union[_routing_pb2.RoutingHints, _Mapping]] = ...) -> None: ...

class EmbedResponse(_message.Message):
    __slots__ = ("generation_id", "embeddings", "usage", "provider_model", "dropped_fields", "route")
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_MODEL_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELDS_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    generation_id: str
    embeddings: _containers.RepeatedCompositeFieldContainer[_embedding_pb2.Embedding]
    usage: _generation_pb2.Usage
    provider_model: str
    dropped_fields: _containers.RepeatedScalarFieldContainer[str]
    route: Route
    def __init__(self, generation_id: _Optional[str] = ..., embeddings: _Optional[_Iterable[_Union[_embedding_pb2.Embedding, _Mapping]]] = ..., usage: _Optional[_Union[_generation_pb2.Usage, _Mapping]] = ..., provider_model: _Optional[str] = ..., dropped_fields: _Optional[_Iterable[str]] = ..., route: _Optional[_Union[Route, _Mapping]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "next_page_token")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[_model_pb2.Model]
    next_page_token: str
    def __init__(self, models: _Optional[_Iterable[_Union[_model_pb2.Model, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ExplainRouteRequest(_message.Message):
    __slots__ = ("spec", "routing")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    ROUTING_FIELD_NUMBER: _ClassVar[int]
    spec: _generation_pb2.GenerationSpec
    routing: _routing_pb2.RoutingHints
    def __init__(self, spec: _Optional[_Union[_generation_pb2.GenerationSpec, _Mapping]] = ..., routing: _Optional[_Union[_routing_pb2.RoutingHints, _Mapping]] = ...) -> None: ...

class ExplainRouteResponse(_message.Message):
    __slots__ = ("fate", "decision", "refusal", "ahead", "config_version")
    FATE_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    AHEAD_FIELD_NUMBER: _ClassVar[int]
    CONFIG_VERSION_FIELD_NUMBER: _ClassVar[int]
    fate: str
    decision: _routing_pb2.Decision
    refusal: _status_pb2.Status
    ahead: int
    config_version: str
    def __init__(self, fate: _Optional[str] = ..., decision: _Optional[_Union[_routing_pb2.Decision, _Mapping]] = ..., refusal: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., ahead: _Optional[int] = ..., config_version: _Optional[str] = ...) -> None: ...
