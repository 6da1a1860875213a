"""`hybrid config`: the schema, what is in effect, and what a change would mean."""

import json
import pathlib
from collections.abc import Iterable, Mapping

import yaml
from rich.markup import escape
from rich.table import Table

from services.chassis.config import ConfigError
from services.cli import sections
from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.running import running
from services.cli.up import load
from services.config import difference, last_good, schema
from services.config.difference import Difference
from services.config.mesh import MeshConfig

HINT = "# yaml-language-server: $schema="


def schema_text() -> str:
    """The JSON Schema of the file."""
    return json.dumps(schema.document(), indent=2)


def effective(config: MeshConfig) -> str:
    """The configuration with all that it does not say, as YAML."""
    return yaml.safe_dump(difference.shown(config), sort_keys=False, allow_unicode=True, width=120).rstrip()


def of_files(old: pathlib.Path, new: pathlib.Path, environment: Mapping[str, str]) -> tuple[MeshConfig, MeshConfig]:
    """What two files say.

    Raises:
        Problem: one of them cannot be used.
    """
    return load(old, environment), load(new, environment)


def of_mesh(home: Home, file: pathlib.Path | None, environment: Mapping[str, str]) -> tuple[MeshConfig, MeshConfig]:
    """What the processes of a home took last, and what a file says.

    Args:
        home: where they run, by whoever's supervision.
        file: absolute. None: the one that they run by.
        environment: has the variables of both.

    Raises:
        Problem: the file cannot be used, or what they took is not known.
    """
    mesh = running(home)
    source = pathlib.Path(mesh.config) if mesh else file or home.config
    new = load(file or source, environment)
    try:
        old = last_good.in_use(home.path, source, environment)
    except ConfigError as error:
        told = [f"what runs cannot be compared: {each}" for each in error.problems]
        raise Problem("\n".join(told), code=2) from error
    if old is None:
        raise Problem(
            f"no process in {home.path} has taken {source}: name the file that they run by, or compare two: "
            "`hybrid config diff OLD NEW`"
        )
    return old, new


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
