"""What a key may be given: a KeySpec, checked field by field."""

import dataclasses
import datetime
from collections.abc import Collection, Iterable, Mapping
from typing import Any, get_args

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from hybridinference.gateway.v1 import admin_service_pb2 as admin
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import routing_pb2

from services.chassis.failure import Failure
from services.config.access import Ceiling, Scope
from services.gateway.identity import ceiling as ceilings
from services.gateway.identity.grant import Content, Grant, Limits
from services.gateway.identity.policy import BY_NAME

_OWNER_CHARACTERS = 128
_NAME_CHARACTERS = 200
_LABELS = 64
_MOST_NAMES = 1000
_MOST_COUNT = 10**15
_MOST_NANO_USD = 10**18  # a billion dollars; a sum of some of them still is an int64
_LEAST_WEIGHT, _MOST_WEIGHT = 0.001, 1000.0
_MOST_DAYS = 3650
_DAYS = 30
# As far as Python's and PostgreSQL's calendars surely agree.
_LATEST = datetime.datetime(9999, 1, 1, tzinfo=datetime.UTC)

SCOPES: frozenset[str] = frozenset(get_args(Scope))
CONTENTS: Mapping[int, Content] = {
    admin.CONTENT_POLICY_UNSPECIFIED: "none",
    admin.CONTENT_POLICY_HASHED: "hashed",
    admin.CONTENT_POLICY_REDACTED: "redacted",
    admin.CONTENT_POLICY_STORED: "stored",
}
_STRICT = {admin.BILLING_UNSPECIFIED: True, admin.BILLING_STRICT: True, admin.BILLING_RELAXED: False}


@dataclasses.dataclass(frozen=True, slots=True)
class Terms:
    """A key that is to be made: what it may do, and what people call it. `grant.key_id` is empty."""

    grant: Grant
    name: str
    labels: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """What the configuration has: for each name and alias of a model its own name, and the names of providers."""

    models: Mapping[str, str]
    providers: Collection[str]


def checked(spec: admin.KeySpec, known: Known, *, now: datetime.datetime) -> Terms:
    """The terms that a spec asks for. Every field is read by its name: what is not read here cannot be had.

    Raises:
        Failure: SPEC_INVALID, naming the field and what to do.
    """
    _require_known_fields(spec)
    if not spec.owner:
        raise _wrong("owner", "is required: it says whose key it is")
    limits = Limits(
        requests_per_minute=_limit(spec, "requests_per_minute"),
        tokens_per_minute=_limit(spec, "tokens_per_minute"),
        concurrency=_limit(spec, "concurrency"),
        usd_per_day=_limit(spec, "budget_nano_usd_per_day", least=0, most=_MOST_NANO_USD),
        usd_per_month=_limit(spec, "budget_nano_usd_per_month", least=0, most=_MOST_NANO_USD),
    )
    if spec.criticality not in routing_pb2.Criticality.values():
        raise _wrong("criticality", "is not one that is known here")
    if spec.content not in CONTENTS:
        raise _wrong("content", "is not a policy that is known here")
    if spec.billing not in _STRICT:
        raise _wrong("billing", "is not one that is known here")
    if spec.content_retention_days > _MOST_DAYS:
        raise _wrong("content_retention_days", f"must be at most {_MOST_DAYS}")
    grant = Grant(
        key_id="",
        owner=_text("owner", spec.owner, _OWNER_CHARACTERS),
        models=frozenset(_models(spec.models, known.models)),
        providers=tuple(sorted(_among("providers", spec.providers, known.providers))),
        scopes=frozenset(_among("scopes", spec.scopes, SCOPES)),
        expires_at=_expiry(spec, now),
        limits=limits,
        criticality=spec.criticality,
        weight=_weight(spec.weight),
        content=CONTENTS[spec.content],
        content_retention_days=spec.content_retention_days or _DAYS,
        strict=_STRICT[spec.billing],
    )
    return Terms(grant, _text("name", spec.name, _NAME_CHARACTERS), _labels(spec.labels))


def require_within(grant: Grant, ceiling: Ceiling) -> None:
    """Refuse a grant that is more than its maker may give.

    Raises:
        Failure: PERMISSION_DENIED, naming the field.
    """
    field = ceilings.beyond(grant, ceiling)
    if not field:
        return
    most = ceilings.monthly(ceiling)
    allowed = {
        "owner": f"owners {_listed(ceiling.owners)}",
        "models": f"models {_listed(ceiling.models)}, by name",
        "scopes": _scopes(ceiling),
        "budget_nano_usd_per_month": f"a month's budget of at most {most} nano-USD",
        "criticality": f"at most the criticality {ceiling.criticality}, by name",
        "weight": f"a weight of at most {ceiling.weight or 0:g}",
    }[field]
    raise Failure(
        reasons.ERROR_REASON_PERMISSION_DENIED,
        f"`spec.{field}` is more than you may give: your keys may have {allowed}.",
        field=f"spec.{field}",
    )


def _scopes(ceiling: Ceiling) -> str:
    if ceiling.scopes is None:
        return f"the scopes {_listed(sorted(BY_NAME))} only where your ceiling names them"
    return f"scopes {_listed(ceiling.scopes)}, by name"


def _listed(names: Iterable[str] | None) -> str:
    return ", ".join(names or ()) or "none"


def _require_known_fields(message: Message) -> None:
    # A limit that only a newer client knows would otherwise be left out, and the key be wider than was asked for.
    # The fields of a map's messages and of repeated ones are not looked at: a spec has neither.
    inner = [value for _, value in message.ListFields() if isinstance(value, Message)]
    if any(len(UnknownFieldSet(each)) for each in (message, *inner)):
        raise Failure(
            reasons.ERROR_REASON_SPEC_INVALID,
            "`spec` has a field that this version does not know; a key without it would not be what was asked for.",
            field="spec",
        )


def _wrong(field: str, what: str) -> Failure:
    return Failure(reasons.ERROR_REASON_SPEC_INVALID, f"`spec.{field}` {what}.", field=f"spec.{field}")


def _text(field: str, text: str, characters: int) -> str:
    if len(text) > characters:
        raise _wrong(field, f"must have at most {characters} characters")
    if not text.isprintable() or text != text.strip():
        raise _wrong(field, "must be printable, without space around it")
    return text


def _limit(spec: admin.KeySpec, field: str, *, least: int = 1, most: int = _MOST_COUNT) -> int | None:
    if not spec.HasField(field):
        return None
    value: int = getattr(spec, field)
    if not least <= value <= most:
        raise _wrong(field, f"must be from {least} to {most}; leave it out for no limit")
    return value


def _models(names: Collection[str], known: Mapping[str, str]) -> set[str]:
    return {known[name] for name in _among("models", names, known)}


def _among(field: str, names: Collection[str], known: Collection[str]) -> set[str]:
    if len(names) > _MOST_NAMES:
        raise _wrong(field, f"must be at most {_MOST_NAMES}")
    for index, name in enumerate(names):
        if name not in known:
            raise _wrong(f"{field}[{index}]", f"is not one that the mesh has: {ascii(name)[:80]}")
    return set(names)


def _weight(weight: float) -> float:
    if not _LEAST_WEIGHT <= (weight or 1.0) <= _MOST_WEIGHT:  # nor is NaN
        raise _wrong("weight", f"must be from {_LEAST_WEIGHT:g} to {_MOST_WEIGHT:g}; 0 means 1")
    return weight or 1.0


def _expiry(spec: admin.KeySpec, now: datetime.datetime) -> float | None:
    if not spec.HasField("expires_at"):
        return None
    seconds = spec.expires_at.seconds + spec.expires_at.nanos / 1e9
    if not now.timestamp() < seconds < _LATEST.timestamp():
        raise _wrong("expires_at", "must be in the future; leave it out for a key that never ends")
    return seconds


def _labels(labels: Mapping[str, str]) -> dict[str, Any]:
    if len(labels) > _LABELS:
        raise _wrong("labels", f"must be at most {_LABELS}")
    for key, value in labels.items():
        if not key:
            raise _wrong("labels", "must have names")
        _text("labels", key, _NAME_CHARACTERS)
        _text("labels", value, _NAME_CHARACTERS)
    return dict(sorted(labels.items()))
