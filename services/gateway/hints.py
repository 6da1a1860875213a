"""What callers say of the route: as a message over gRPC, as headers of the OpenAI API."""

import re
from collections.abc import Mapping
from decimal import Decimal

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import routing_pb2 as routing

from services.chassis.deadline import to_duration, to_seconds
from services.chassis.failure import Failure
from services.gateway.validate import invalid

HEADERS: Mapping[str, str] = {
    "session": "x-hybrid-session",
    "tags": "x-hybrid-tags",
    "max_cost_nano_usd": "x-hybrid-max-cost-usd",
    "first_content_slo": "x-hybrid-first-content-slo-ms",
    "criticality": "x-hybrid-criticality",
    "worker": "x-hybrid-worker",
}
_NAMES = frozenset(HEADERS.values())
FIELDS: Mapping[str, str] = {field: f"routing.{field}" for field in HEADERS}

CRITICALITIES = {
    "sheddable": routing.CRITICALITY_SHEDDABLE,
    "sheddable-plus": routing.CRITICALITY_SHEDDABLE_PLUS,
    "critical": routing.CRITICALITY_CRITICAL,
    "critical-plus": routing.CRITICALITY_CRITICAL_PLUS,
}
MAX_SESSION_CHARACTERS = 256
MAX_TAGS = 16
MAX_SLO_SECONDS = 3600
TAG = re.compile(r"[A-Za-z0-9._:/-]{1,64}", re.ASCII)
# Up to a thousand million dollars, as exact as money is here.
USD = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
MILLISECONDS = re.compile(r"[0-9]{1,7}", re.ASCII)
WORKER = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)

_NANO_PER_USD = 10**9
_CRITICALITY = frozenset(routing.Criticality.values())


def of_headers(headers: Mapping[str, str | bytes]) -> routing.RoutingHints:
    """The hints that headers give, by their names; what is not there is not given.

    Raises:
        Failure: SPEC_INVALID, naming the header.
    """
    if _NAMES.isdisjoint(headers):
        return routing.RoutingHints()

    def said(field: str) -> str | None:
        value = headers.get(HEADERS[field])
        return value.decode("ascii", "replace") if isinstance(value, bytes) else value

    hints = routing.RoutingHints()
    session, tags, worker = said("session"), said("tags"), said("worker")
    if session is not None:
        hints.session = _present(session, "session")
    if tags is not None:
        hints.tags.extend(tag.strip() for tag in tags.split(","))
    cost = said("max_cost_nano_usd")
    if cost is not None:
        if not USD.fullmatch(cost):
            raise invalid(HEADERS["max_cost_nano_usd"], "must be an amount such as 0.25, with at most 9 decimals")
        hints.max_cost_nano_usd = int(Decimal(cost) * _NANO_PER_USD)
    slo = said("first_content_slo")
    if slo is not None:
        if not MILLISECONDS.fullmatch(slo):
            raise invalid(HEADERS["first_content_slo"], "must be a whole number of milliseconds")
        hints.first_content_slo.CopyFrom(to_duration(int(slo) / 1e3))
    criticality = said("criticality")
    if criticality is not None:
        if criticality not in CRITICALITIES:
            raise invalid(HEADERS["criticality"], f"must be one of {', '.join(CRITICALITIES)}")
        hints.criticality = CRITICALITIES[criticality]
    if worker is not None:
        hints.worker = _present(worker, "worker")
    return hints


def lowered(asked: int, most_critical: int) -> int:
    """How critical a request is: as its caller says, but never more than its key may be. 0 is as CRITICAL for both."""
    most = most_critical or routing.CRITICALITY_CRITICAL
    lower = (asked or routing.CRITICALITY_CRITICAL) <= most
    return asked if lower else most


def check(
    hints: routing.RoutingHints, named: Mapping[str, str], *, allow_pinning: bool, most_critical: int = 0
) -> None:
    """Refuse hints that mean nothing, or that callers may not give.

    Args:
        hints: as they came.
        named: what the caller calls each field, `HEADERS` or `FIELDS`.
        allow_pinning: whether callers may name the worker.
        most_critical: the most critical that the caller's requests may be, a Criticality; 0 is as CRITICAL. Of what
            is above it only CRITICAL_PLUS is refused: whoever needs that has to know that they do not have it.

    Raises:
        Failure: SPEC_INVALID or PERMISSION_DENIED, naming the field.
    """
    if not hints.ByteSize():  # nothing is said
        return
    if len(hints.session) > MAX_SESSION_CHARACTERS:
        raise invalid(named["session"], f"must be at most {MAX_SESSION_CHARACTERS} characters")
    if len(hints.tags) > MAX_TAGS:
        raise invalid(named["tags"], f"must hold at most {MAX_TAGS} tags")
    if not all(TAG.fullmatch(tag) for tag in hints.tags):
        raise invalid(named["tags"], "must hold tags of 1 to 64 letters, digits and . _ : / -")
    if hints.max_cost_nano_usd < 0:
        raise invalid(named["max_cost_nano_usd"], "must not be negative")
    if hints.HasField("first_content_slo") and not 0 < to_seconds(hints.first_content_slo) <= MAX_SLO_SECONDS:
        raise invalid(named["first_content_slo"], f"must be above 0, and at most {MAX_SLO_SECONDS} seconds")
    if hints.criticality not in _CRITICALITY:
        raise invalid(named["criticality"], "must be a Criticality")
    if hints.criticality == routing.CRITICALITY_CRITICAL_PLUS and most_critical != routing.CRITICALITY_CRITICAL_PLUS:
        raise _denied(named["criticality"], "critical-plus", "this caller may claim at most `critical`")
    if hints.worker:
        if not WORKER.fullmatch(hints.worker):
            raise invalid(named["worker"], "must be a worker's name")
        if not allow_pinning:
            raise _denied(named["worker"], "pinning", "callers may not choose the worker (`gateway.allow_pinning`)")


def _present(text: str, field: str) -> str:
    if not text:
        raise invalid(HEADERS[field], "must not be empty")
    return text


def _denied(field: str, scope: str, why: str) -> Failure:
    message = f"`{field}` is refused: {why}."
    return Failure(reasons.ERROR_REASON_PERMISSION_DENIED, message, scope=scope, field=field)
