"""`hybrid config`: the schema, what is in effect, and what a change would mean."""

import json
from collections.abc import Iterable

import yaml
from rich.markup import escape
from rich.table import Table

from services.cli import sections
from services.config import difference, schema
from services.config.difference import Difference
from services.config.mesh import MeshConfig

HINT = "# yaml-language-server: $schema="


def schema_text() -> str:
    """The JSON Schema of the file."""
    return json.dumps(schema.document(), indent=2)


def effective(config: MeshConfig) -> str:
    """The configuration with all that it does not say, as YAML."""
    return yaml.safe_dump(difference.shown(config), sort_keys=False, allow_unicode=True, width=120).rstrip()


def changes(old: MeshConfig, new: MeshConfig) -> list[tuple[Difference, str]]:
    """What differs, each with when it takes effect."""
    late = sections.changed(sections.of(old), sections.of(new))
    return [(each, _when(each.path, late)) for each in difference.between(old, new)]


def _when(path: str, late: Iterable[str]) -> str:
    # By path first: what is compared of sections leaves secrets out, and these are read at a start alone.
    if path.startswith("providers."):
        return "restart of its workers"
    section = next((name for name in (*sections.FIXED, *late) if path == name or path.startswith(f"{name}.")), None)
    if section is None:
        return "reload"
    if section == "edge.limits.connections":
        return "restart of envoy"
    if section.startswith("ledger.") and section not in sections.FIXED:
        return "restart of the loaders"
    return "restart of each process" if section == "log" else "start of the whole mesh"


def table(found: Iterable[tuple[Difference, str]]) -> Table:
    """For people."""
    shown = Table("key", "before", "after", "takes effect with", box=None, header_style="bold")
    for each, when in found:
        shown.add_row(escape(each.path), escape(each.before), escape(each.after), when)
    return shown


def plain(found: Iterable[tuple[Difference, str]]) -> list[dict[str, str]]:
    """For programs."""
    return [{"key": each.path, "before": each.before, "after": each.after, "when": when} for each, when in found]
