"""Which version this is."""

import importlib.metadata
import tomllib

from services.cli.surroundings import CLONE

_NAME = "hybridinference"


def version() -> str:
    """The version of the clone, or of the installed distribution where there is no clone."""
    project = CLONE / "pyproject.toml"
    if project.exists():
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
    try:
        return importlib.metadata.version(_NAME)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
