import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from hybridinference.inference.v1 import routing_pb2 as _routing_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DrainKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DRAIN_KIND_UNSPECIFIED: _ClassVar[DrainKind]
    DRAIN_KIND_GATEWAY: _ClassVar[DrainKind]
    DRAIN_KIND_WORKER: _ClassVar[DrainKind]
    DRAIN_KIND_ROUTE: _ClassVar[DrainKind]

class ContentPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONTENT_POLICY_UNSPECIFIED: _ClassVar[ContentPolicy]
    CONTENT_POLICY_HASHED: _ClassVar[ContentPolicy]
    CONTENT_POLICY_REDACTED: _ClassVar[ContentPolicy]
    CONTENT_POLICY_STORED: _ClassVar[ContentPolicy]

class Billing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BILLING_UNSPECIFIED: _ClassVar[Billing]
    BILLING_STRICT: _ClassVar[Billing]
    BILLING_RELAXED: _ClassVar[Billing]

class UsageDimension(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USAGE_DIMENSION_UNSPECIFIED: _ClassVar[UsageDimension]
    USAGE_DIMENSION_KEY: _ClassVar[UsageDimension]
    USAGE_DIMENSION_OWNER: _ClassVar[UsageDimension]
    USAGE_DIMENSION_MODEL: _ClassVar[UsageDimension]
    USAGE_DIMENSION_PROVIDER: _ClassVar[UsageDimension]
    USAGE_DIMENSION_DAY: _ClassVar[UsageDimension]
    USAGE_DIMENSION_HOUR: _ClassVar[UsageDimension]
DRAIN_KIND_UNSPECIFIED: DrainKind
DRAIN_KIND_GATEWAY: DrainKind
DRAIN_KIND_WORKER: DrainKind
DRAIN_KIND_ROUTE: DrainKind
CONTENT_POLICY_UNSPECIFIED: ContentPolicy
CONTENT_POLICY_HASHED: ContentPolicy
CONTENT_POLICY_REDACTED: ContentPolicy
CONTENT_POLICY_STORED: ContentPolicy
BILLING_UNSPECIFIED: Billing
BILLING_STRICT: Billing
BILLING_RELAXED: Billing
USAGE_DIMENSION_UNSPECIFIED: UsageDimension
USAGE_DIMENSION_KEY: UsageDimension
USAGE_DIMENSION_OWNER: UsageDimension
USAGE_DIMENSION_MODEL: UsageDimension
USAGE_DIMENSION_PROVIDER: UsageDimension
USAGE_DIMENSION_DAY: UsageDimension
USAGE_DIMENSION_HOUR: UsageDimension

class KeySpec(_message.Message):
    __slots__ = ("owner", "name", "labels", "models", "scopes", "expires_at", "requests_per_minute", "tokens_per_minute", "concurrency", "budget_nano_usd_per_day", "budget_nano_usd_per_month", "criticality", "weight", "content", "content_retention_days", "billing", "providers")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    OWNER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    BUDGET_NANO_USD_PER_DAY_FIELD_NUMBER: _ClassVar[int]
    BUDGET_NANO_USD_PER_MONTH_FIELD_NUMBER: _ClassVar[int]
    CRITICALITY_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_RETENTION_DAYS_FIELD_NUMBER: _ClassVar[int]
    BILLING_FIELD_NUMBER: _ClassVar[int]
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    owner: str
    name: str
    labels: _containers.ScalarMap[str, str]
    models: _containers.RepeatedScalarFieldContainer[str]
    scopes: _containers.RepeatedScalarFieldContainer[str]
    expires_at: _timestamp_pb2.Timestamp
    requests_per_minute: int
    tokens_per_minute: int
    concurrency: int
    budget_nano_usd_per_day: int
    budget_nano_usd_per_month: int
    criticality: _routing_pb2.Criticality
    weight: float
    content: ContentPolicy
    content_retention_days: int
    billing: Billing
    providers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, owner: _Optional[str] = ..., name: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., models: _Optional[_Iterable[str]] = ..., scopes: _Optional[_Iterable[str]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., requests_per_minute: _Optional[int] = ..., tokens_per_minute: _Optional[int] = ..., concurrency: _Optional[int] = ..., budget_nano_usd_per_day: _Optional[int] = ..., budget_nano_usd_per_month: _Optional[int] = ..., criticality: _Optional[_Union[_routing_pb2.Criticality, str]] = ..., weight: _Optional[float] = ..., content: _Optional[_Union[ContentPolicy, str]] = ..., content_retention_days: _Optional[int] = ..., billing: _Optional[_Union[Billing, str]] = ..., providers: _Optional[_Iterable[str]] = ...) -> None: ...

class Key(_message.Message):
    __slots__ = ("key_id", "spec", "created_at", "created_by", "revoked_at", "rotated_at", "previous_until")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    REVOKED_AT_FIELD_NUMBER: _ClassVar[int]
    ROTATED_AT_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_UNTIL_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    spec: KeySpec
    created_at: _timestamp_pb2.Timestamp
    created_by: str
    revoked_at: _timestamp_pb2.Timestamp
    rotated_at: _timestamp_pb2.Timestamp
    previous_until: _timestamp_pb2.Timestamp
    def __init__(self, key_id: _Optional[str] = ..., spec: _Optional[_Union[KeySpec, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_by: _Optional[str] = ..., revoked_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rotated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., previous_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateKeyRequest(_message.Message):
    __slots__ = ("spec",)
    SPEC_FIELD_NUMBER: _ClassVar[int]
    spec: KeySpec
    def __init__(self, spec: _Optional[_Union[KeySpec, _Mapping]] = ...) -> None: ...

class CreateKeyResponse(_message.Message):
    __slots__ = ("key", "credential")
    KEY_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    key: Key
    credential: str
    def __init__(self, key: _Optional[_Union[Key, _Mapping]] = ..., credential: _Optional[str] = ...) -> None: ...

class ListKeysRequest(_message.Message):
    __slots__ = ("owner", "include_ended", "page_size", "page_token")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_ENDED_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    owner: str
    include_ended: bool
    page_size: int
    page_token: str
    def __init__(self, owner: _Optional[str] = ..., include_ended: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListKeysResponse(_message.Message):
    __slots__ = ("keys", "next_page_token")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[Key]
    next_page_token: str
    def __init__(self, keys: _Optional[_Iterable[_Union[Key, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RevokeKeyRequest(_message.Message):
    __slots__ = ("key_id",)
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    def __init__(self, key_id: _Optional[str] = ...) -> None: ...

class RevokeKeyResponse(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: Key
    def __init__(self, key: _Optional[_Union[Key, _Mapping]] = ...) -> None: ...

class RotateKeyRequest(_message.Message):
    __slots__ = ("key_id", "grace")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    GRACE_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    grace: _duration_pb2.Duration
    def __init__(self, key_id: _Optional[str] = ..., grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class RotateKeyResponse(_message.Message):
    __slots__ = ("key", "credential")
    KEY_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    key: Key
    credential: str
    def __init__(self, key: _Optional[_Union[Key, _Mapping]] = ..., credential: _Optional[str] = ...) -> None: ...

class QueryUsageRequest(_message.Message):
    __slots__ = ("by", "until", "key_id", "owner", "model", "provider")
    BY_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    by: _containers.RepeatedScalarFieldContainer[UsageDimension]
    until: _timestamp_pb2.Timestamp
    key_id: str
    owner: str
    model: str
    provider: str
    def __init__(self, by: _Optional[_Iterable[_Union[UsageDimension, str]]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., key_id: _Optional[str] = ..., owner: _Optional[str] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., **kwargs) -> None: ...

class QueryUsageResponse(_message.Message):
    __slots__ = ("rows",)
    ROWS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[UsageRow]
    def __init__(self, rows: _Optional[_Iterable[_Union[UsageRow, _Mapping]]] = ...) -> None: ...

class UsageRow(_message.Message):
    __slots__ = ("values", "requests", "attempts", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "cost_nano_usd")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REASONING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    requests: int
    attempts: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_nano_usd: int
    def __init__(self, values: _Optional[_Iterable[str]] = ..., requests: _Optional[int] = ..., attempts: _Optional[int] = ..., input_tokens: _Optional[int] = ..., cached_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., reasoning_tokens: _Optional[int] = ..., cost_nano_usd: _Optional[int] = ...) -> None: ...

class DrainState(_message.Message):
    __slots__ = ("kind", "name", "since", "operator")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    kind: DrainKind
    name: str
    since: _timestamp_pb2.Timestamp
    operator: str
    def __init__(self, kind: _Optional[_Union[DrainKind, str]] = ..., name: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., operator: _Optional[str] = ...) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = ("kind", "name")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    kind: DrainKind
    name: str
    def __init__(self, kind: _Optional[_Union[DrainKind, str]] = ..., name: _Optional[str] = ...) -> None: ...

class DrainResponse(_message.Message):
    __slots__ = ("drain", "pending_routers")
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    PENDING_ROUTERS_FIELD_NUMBER: _ClassVar[int]
    drain: DrainState
    pending_routers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, drain: _Optional[_Union[DrainState, _Mapping]] = ..., pending_routers: _Optional[_Iterable[str]] = ...) -> None: ...

class UndrainRequest(_message.Message):
    __slots__ = ("kind", "name")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    kind: DrainKind
    name: str
    def __init__(self, kind: _Optional[_Union[DrainKind, str]] = ..., name: _Optional[str] = ...) -> None: ...

class UndrainResponse(_message.Message):
    __slots__ = ("drained_before", "pending_routers")
    DRAINED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    PENDING_ROUTERS_FIELD_NUMBER: _ClassVar[int]
    drained_before: bool
    pending_routers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, drained_before: _Optional[bool] = ..., pending_routers: _Optional[_Iterable[str]] = ...) -> None: ...

class ListDrainsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListDrainsResponse(_message.Message):
    __slots__ = ("drains",)
    DRAINS_FIELD_NUMBER: _ClassVar[int]
    drains: _containers.RepeatedCompositeFieldContainer[DrainState]
    def __init__(self, drains: _Optional[_Iterable[_Union[DrainState, _Mapping]]] = ...) -> None: ...

class ListFlagsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListFlagsResponse(_message.Message):
    __slots__ = ("flags",)
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    flags: _containers.RepeatedCompositeFieldContainer[FlagState]
    def __init__(self, flags: _Optional[_Iterable[_Union[FlagState, _Mapping]]] = ...) -> None: ...

class FlagState(_message.Message):
    __slots__ = ("name", "share", "models", "keys", "changed_at", "changed_by")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_FIELD_NUMBER: _ClassVar[int]
    CHANGED_BY_FIELD_NUMBER: _ClassVar[int]
    name: str
    share: float
    models: _containers.RepeatedScalarFieldContainer[str]
    keys: _containers.RepeatedScalarFieldContainer[str]
    changed_at: _timestamp_pb2.Timestamp
    changed_by: str
    def __init__(self, name: _Optional[str] = ..., share: _Optional[float] = ..., models: _Optional[_Iterable[str]] = ..., keys: _Optional[_Iterable[str]] = ..., changed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., changed_by: _Optional[str] = ...) -> None: ...
