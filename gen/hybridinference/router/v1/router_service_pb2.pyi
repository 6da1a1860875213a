from google.rpc import status_pb2 as _status_pb2
from hybridinference.inference.v1 import routing_pb2 as _routing_pb2
from hybridinference.router.v1 import drains_pb2 as _drains_pb2
from hybridinference.router.v1 import fleet_pb2 as _fleet_pb2
from hybridinference.router.v1 import placement_pb2 as _placement_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExplainedFate(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPLAINED_FATE_UNSPECIFIED: _ClassVar[ExplainedFate]
    EXPLAINED_FATE_PLACED: _ClassVar[ExplainedFate]
    EXPLAINED_FATE_WAITING: _ClassVar[ExplainedFate]
    EXPLAINED_FATE_REFUSED: _ClassVar[ExplainedFate]
EXPLAINED_FATE_UNSPECIFIED: ExplainedFate
EXPLAINED_FATE_PLACED: ExplainedFate
EXPLAINED_FATE_WAITING: ExplainedFate
EXPLAINED_FATE_REFUSED: ExplainedFate

class PlaceRequest(_message.Message):
    __slots__ = ("commands",)
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    commands: _containers.RepeatedCompositeFieldContainer[PlaceCommand]
    def __init__(self, commands: _Optional[_Iterable[_Union[PlaceCommand, _Mapping]]] = ...) -> None: ...

class PlaceCommand(_message.Message):
    __slots__ = ("hello", "ask", "first_content", "outcome", "withdrawal", "hedge")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    ASK_FIELD_NUMBER: _ClassVar[int]
    FIRST_CONTENT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWAL_FIELD_NUMBER: _ClassVar[int]
    HEDGE_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    ask: _placement_pb2.PlacementAsk
    first_content: _placement_pb2.FirstContent
    outcome: _placement_pb2.AttemptOutcome
    withdrawal: Withdrawal
    hedge: _placement_pb2.HedgeAsk
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., ask: _Optional[_Union[_placement_pb2.PlacementAsk, _Mapping]] = ..., first_content: _Optional[_Union[_placement_pb2.FirstContent, _Mapping]] = ..., outcome: _Optional[_Union[_placement_pb2.AttemptOutcome, _Mapping]] = ..., withdrawal: _Optional[_Union[Withdrawal, _Mapping]] = ..., hedge: _Optional[_Union[_placement_pb2.HedgeAsk, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("gateway", "leases", "drains")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    DRAINS_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    leases: _containers.RepeatedCompositeFieldContainer[_placement_pb2.RunningLease]
    drains: _drains_pb2.Drains
    def __init__(self, gateway: _Optional[str] = ..., leases: _Optional[_Iterable[_Union[_placement_pb2.RunningLease, _Mapping]]] = ..., drains: _Optional[_Union[_drains_pb2.Drains, _Mapping]] = ...) -> None: ...

class Withdrawal(_message.Message):
    __slots__ = ("generation_id",)
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    generation_id: str
    def __init__(self, generation_id: _Optional[str] = ...) -> None: ...

class PlaceResponse(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[PlaceAnswer]
    def __init__(self, answers: _Optional[_Iterable[_Union[PlaceAnswer, _Mapping]]] = ...) -> None: ...

class PlaceAnswer(_message.Message):
    __slots__ = ("placement", "refusal", "waiting")
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    placement: _placement_pb2.Placement
    refusal: _placement_pb2.Refusal
    waiting: _placement_pb2.Waiting
    def __init__(self, placement: _Optional[_Union[_placement_pb2.Placement, _Mapping]] = ..., refusal: _Optional[_Union[_placement_pb2.Refusal, _Mapping]] = ..., waiting: _Optional[_Union[_placement_pb2.Waiting, _Mapping]] = ...) -> None: ...

class WatchFleetRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchFleetResponse(_message.Message):
    __slots__ = ("workers", "drains")
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    DRAINS_FIELD_NUMBER: _ClassVar[int]
    workers: _containers.RepeatedCompositeFieldContainer[_fleet_pb2.FleetWorker]
    drains: _drains_pb2.Drains
    def __init__(self, workers: _Optional[_Iterable[_Union[_fleet_pb2.FleetWorker, _Mapping]]] = ..., drains: _Optional[_Union[_drains_pb2.Drains, _Mapping]] = ...) -> None: ...

class SetDrainsRequest(_message.Message):
    __slots__ = ("drains",)
    DRAINS_FIELD_NUMBER: _ClassVar[int]
    drains: _drains_pb2.Drains
    def __init__(self, drains: _Optional[_Union[_drains_pb2.Drains, _Mapping]] = ...) -> None: ...

class SetDrainsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("ask",)
    ASK_FIELD_NUMBER: _ClassVar[int]
    ask: _placement_pb2.PlacementAsk
    def __init__(self, ask: _Optional[_Union[_placement_pb2.PlacementAsk, _Mapping]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("decision", "fate", "refusal", "ahead", "config_version")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    FATE_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    AHEAD_FIELD_NUMBER: _ClassVar[int]
    CONFIG_VERSION_FIELD_NUMBER: _ClassVar[int]
    decision: _routing_pb2.Decision
    fate: ExplainedFate
    refusal: _status_pb2.Status
    ahead: int
    config_version: str
    def __init__(self, decision: _Optional[_Union[_routing_pb2.Decision, _Mapping]] = ..., fate: _Optional[_Union[ExplainedFate, str]] = ..., refusal: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., ahead: _Optional[int] = ..., config_version: _Optional[str] = ...) -> None: ...
