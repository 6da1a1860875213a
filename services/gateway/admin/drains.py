"""What may be taken out of service: names, checked against the configuration."""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping

import asyncpg
from google.protobuf import timestamp_pb2
from hybridinference.gateway.v1 import admin_service_pb2 as admin
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.router.v1 import drains_pb2

from services.chassis.failure import Failure
from services.config.mesh import MeshConfig

KINDS: Mapping[int, str] = {
    admin.DRAIN_KIND_GATEWAY: "gateway",
    admin.DRAIN_KIND_WORKER: "worker",
    admin.DRAIN_KIND_ROUTE: "route",
}
_NUMBERS = {kind: number for number, kind in KINDS.items()}
_LISTED = 20


@dataclasses.dataclass(frozen=True, slots=True)
class Drain:
    """Something that is, or shall be, out of service. `kind` is one of `KINDS`."""

    kind: str
    name: str


def known(config: MeshConfig) -> frozenset[Drain]:
    """All that a configuration has and that can be taken out of service."""
    found = {Drain("gateway", place.name) for place in config.gateways()}
    found |= {Drain("worker", place.name) for place in config.workers()}
    found |= {Drain("route", f"{model.name}/{route.provider}") for model in config.models for route in model.routes}
    return frozenset(found)


def checked(kind: int, name: str, among: Iterable[Drain]) -> Drain:
    """What a request names.

    Raises:
        Failure: SPEC_INVALID, naming the field, and what there is.
    """
    if kind not in KINDS:
        raise _wrong("kind", "must be a gateway, a worker or a route")
    wanted = Drain(KINDS[kind], name)
    names = sorted(each.name for each in among if each.kind == wanted.kind)
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        there = f"did you mean {close[0]}?" if close else f"there are: {', '.join(names[:_LISTED])}"
        raise _wrong("name", f"is no {wanted.kind} of this mesh; {there}")
    return wanted


def require_gateway_left(wanted: Drain, drained: Iterable[Drain], among: Iterable[Drain]) -> None:
    """Refuse to take the last gateway out of service: nobody would be served, and no call say why.

    Raises:
        Failure: SPEC_INVALID.
    """
    gateways = {each for each in among if each.kind == "gateway"}
    if wanted.kind == "gateway" and not gateways - {wanted, *drained}:
        raise _wrong("name", "is the only gateway that is in service; the mesh would serve nobody")


def told(drains: Iterable[Drain]) -> drains_pb2.Drains:
    """As routers are told."""
    ordered = sorted(drains, key=lambda each: (each.kind, each.name))
    routes = [each.name.rpartition("/") for each in ordered if each.kind == "route"]
    return drains_pb2.Drains(
        gateways=[each.name for each in ordered if each.kind == "gateway"],
        workers=[each.name for each in ordered if each.kind == "worker"],
        routes=[drains_pb2.DrainedRoute(model=model, provider=provider) for model, _, provider in routes],
    )


def of_row(row: asyncpg.Record) -> Drain:
    """A row of the table."""
    return Drain(row["kind"], row["name"])


def shown(row: asyncpg.Record) -> admin.DrainState:
    """A row of the table, as the contract shows it."""
    since = timestamp_pb2.Timestamp()
    since.FromDatetime(row["since"])
    kind: admin.DrainKind = _NUMBERS[row["kind"]]  # type: ignore[assignment]  # a number of it
    return admin.DrainState(kind=kind, name=row["name"], since=since, operator=row["operator"])


def _wrong(field: str, what: str) -> Failure:
    return Failure(reasons.ERROR_REASON_SPEC_INVALID, f"`{field}` {what}.", field=field)
