from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Capability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CAPABILITY_UNSPECIFIED: _ClassVar[Capability]
    CAPABILITY_CHAT: _ClassVar[Capability]
    CAPABILITY_EMBEDDINGS: _ClassVar[Capability]
    CAPABILITY_IMAGES: _ClassVar[Capability]
    CAPABILITY_FILES: _ClassVar[Capability]
    CAPABILITY_TOOLS: _ClassVar[Capability]
    CAPABILITY_JSON_OBJECT: _ClassVar[Capability]
    CAPABILITY_JSON_SCHEMA: _ClassVar[Capability]
    CAPABILITY_LOGPROBS: _ClassVar[Capability]
    CAPABILITY_CHOICES: _ClassVar[Capability]
    CAPABILITY_REASONING_EFFORT: _ClassVar[Capability]
    CAPABILITY_SEED: _ClassVar[Capability]
    CAPABILITY_PENALTIES: _ClassVar[Capability]
    CAPABILITY_LOGIT_BIAS: _ClassVar[Capability]
    CAPABILITY_TOP_K: _ClassVar[Capability]
    CAPABILITY_STOP: _ClassVar[Capability]
    CAPABILITY_PROVIDER_OPTIONS: _ClassVar[Capability]
    CAPABILITY_DIMENSIONS: _ClassVar[Capability]
    CAPABILITY_TOKEN_INPUTS: _ClassVar[Capability]
    CAPABILITY_COMPLETIONS: _ClassVar[Capability]
CAPABILITY_UNSPECIFIED: Capability
CAPABILITY_CHAT: Capability
CAPABILITY_EMBEDDINGS: Capability
CAPABILITY_IMAGES: Capability
CAPABILITY_FILES: Capability
CAPABILITY_TOOLS: Capability
CAPABILITY_JSON_OBJECT: Capability
CAPABILITY_JSON_SCHEMA: Capability
CAPABILITY_LOGPROBS: Capability
CAPABILITY_CHOICES: Capability
CAPABILITY_REASONING_EFFORT: Capability
CAPABILITY_SEED: Capability
CAPABILITY_PENALTIES: Capability
CAPABILITY_LOGIT_BIAS: Capability
CAPABILITY_TOP_K: Capability
CAPABILITY_STOP: Capability
CAPABILITY_PROVIDER_OPTIONS: Capability
CAPABILITY_DIMENSIONS: Capability
CAPABILITY_TOKEN_INPUTS: Capability
CAPABILITY_COMPLETIONS: Capability

class Model(_message.Message):
    __slots__ = ("name", "owner", "created_seconds", "context_tokens", "capabilities", "aliases")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    CREATED_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    name: str
    owner: str
    created_seconds: int
    context_tokens: int
    capabilities: _containers.RepeatedScalarFieldContainer[Capability]
    aliases: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., owner: _Optional[str] = ..., created_seconds: _Optional[int] = ..., context_tokens: _Optional[int] = ..., capabilities: _Optional[_Iterable[_Union[Capability, str]]] = ..., aliases: _Optional[_Iterable[str]] = ...) -> None: ...
