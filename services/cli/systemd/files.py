"""The files of a host's units: templates filled in, and a drop-in for each instance."""

import dataclasses
import pathlib
import string
from collections.abc import Sequence

from services.cli.systemd.instances import MIGRATE, TARGET, Instance
from services.cli.systemd.secrets import nameable

# The StateDirectory of all units.
HOME = pathlib.Path("/var/lib/hybridinference")
TEMPLATES = pathlib.Path(__file__).resolve().parents[3] / "infrastructure" / "systemd"
# By this a later run knows what it may replace or remove.
MARK = "# Written by `hybrid systemd install`; changes belong into drop-ins of other names.\n"

_DROP_IN = "50-mesh.conf"


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Where things are. All paths are absolute."""

    code: pathlib.Path
    python: pathlib.Path
    cache: pathlib.Path
    config: pathlib.Path


def written(instances: Sequence[Instance], layout: Layout, templates: pathlib.Path = TEMPLATES) -> dict[str, str]:
    """The content of each file, by its path below the directory of units.

    Raises:
        Problem: a path has characters that units cannot have.
    """
    values = {
        "code": str(layout.code),
        "python": str(layout.python),
        "cache": str(layout.cache),
        "config": str(layout.config),
        "directory": str(layout.config.parent),
    }
    for value in values.values():
        nameable(value)
    found = {}
    for path in sorted(templates.rglob("hybridinference*")):
        if path.is_file() or path.suffix == ".d":
            for file in sorted(path.glob("*.conf")) if path.is_dir() else [path]:
                name = str(file.relative_to(templates))
                found[name] = MARK + string.Template(file.read_text(encoding="utf-8")).substitute(values)
    for instance in instances:
        found[f"{instance.unit}.d/{_DROP_IN}"] = MARK + _sections(instance).replace("{config}", values["config"])
    wanted = " ".join(instance.unit for instance in instances if instance.unit != MIGRATE)
    found[f"{TARGET}.d/{_DROP_IN}"] = f"{MARK}\n[Unit]\nWants={wanted}\n"
    return found


def _sections(instance: Instance) -> str:
    sections = ((name, lines) for name, lines in instance.lines.items() if lines)
    return "".join(f"\n[{name}]\n" + "".join(f"{line}\n" for line in lines) for name, lines in sections)
