"""`hybrid drain` and `hybrid undrain`: takes a gateway, a worker or a route out of service, and back."""

from collections.abc import Callable, Sequence
from typing import Any

from hybridinference.gateway.v1 import admin_service_pb2 as admin
from rich.markup import escape
from rich.table import Table

from services.cli.problem import Problem

# As `services.cli.operating.ask` with home, mesh and credential given.
Ask = Callable[[str, Any], Any]

_KINDS = {
    "gateway": admin.DRAIN_KIND_GATEWAY,
    "worker": admin.DRAIN_KIND_WORKER,
    "route": admin.DRAIN_KIND_ROUTE,
}
_NAMES = {number: kind for kind, number in _KINDS.items()}


def guessed(words: Sequence[str]) -> tuple[str, str]:
    """Kind and name of what is meant by `gateway-2`, `worker local-0` or `route chat/local`.

    Raises:
        Problem: it is none of these.
    """
    if len(words) == 2 and words[0] in _KINDS:
        return words[0], words[1]
    if len(words) == 1 and (words[0] == "gateway" or words[0].startswith("gateway-")):
        return "gateway", words[0]
    raise Problem("say `gateway NAME`, `worker NAME` or `route MODEL/PROVIDER`", code=2)


def drain(ask: Ask, kind: str, name: str) -> str:
    """Take something out of service; what there is to say of it.

    Raises:
        Problem: refused, or nobody answers.
    """
    answer = ask("Drain", admin.DrainRequest(kind=_KINDS[kind], name=name))
    return f"{kind} {name} finishes what it has begun, and is given nothing new{_late(answer.pending_routers)}"


def undrain(ask: Ask, kind: str, name: str) -> str:
    """Take it into service again; what there is to say of it.

    Raises:
        Problem: refused, or nobody answers.
    """
    answer = ask("Undrain", admin.UndrainRequest(kind=_KINDS[kind], name=name))
    now = "is in service again" if answer.drained_before else "was in service"
    return f"{kind} {name} {now}{_late(answer.pending_routers)}"


def every(ask: Ask) -> list[admin.DrainState]:
    """All that is out of service.

    Raises:
        Problem: refused, or nobody answers.
    """
    return list(ask("ListDrains", admin.ListDrainsRequest()).drains)


def plain(drains: Sequence[admin.DrainState]) -> list[dict[str, str]]:
    """For programs."""
    return [
        {
            "kind": _NAMES[each.kind],
            "name": each.name,
            "since": each.since.ToJsonString(),
            "operator": each.operator,
        }
        for each in drains
    ]


def table(drains: Sequence[admin.DrainState]) -> Table:
    """For people."""
    shown = Table("what", "name", "since", "by", box=None, header_style="bold")
    for each in plain(drains):
        shown.add_row(each["kind"], escape(each["name"]), each["since"], escape(each["operator"]))
    return shown


def _late(routers: Sequence[str]) -> str:
    return f"; not known yet to {', '.join(routers)}, which do not answer" if routers else ""
