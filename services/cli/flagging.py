"""`hybrid flags`: what flags say, and who has changed them last."""

from collections.abc import Callable, Sequence
from typing import Any

from hybridinference.gateway.v1 import admin_service_pb2 as admin
from rich.markup import escape
from rich.table import Table

# As `services.cli.operating.ask` with home, mesh and credential given.
Ask = Callable[[str, Any], Any]


def every(ask: Ask) -> list[dict[str, Any]]:
    """Every flag, as plain data; `changed_at` is None where it was never seen to change.

    Raises:
        Problem: refused, or nobody answers.
    """
    return [
        {
            "name": flag.name,
            "share": flag.share,
            "models": list(flag.models),
            "keys": list(flag.keys),
            "changed_at": flag.changed_at.ToJsonString() if flag.HasField("changed_at") else None,
            "changed_by": flag.changed_by,
        }
        for flag in ask("ListFlags", admin.ListFlagsRequest()).flags
    ]


def table(flags: Sequence[dict[str, Any]]) -> Table:
    """For people."""
    shown = Table("flag", "on for", "models", "keys", "changed", "by", box=None, header_style="bold")
    for each in flags:
        names = [escape(", ".join(each[key]) or "any") for key in ("models", "keys")]
        when = each["changed_at"] or ""
        shown.add_row(each["name"], f"{each['share']:.4g}", *names, when, escape(each["changed_by"]))
    return shown
