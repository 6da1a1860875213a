"""Which version this is."""

import importlib.metadata
import pathlib
import tomllib

_NAME = "hybridinference"
_PROJECT = pathlib.Path(__file__).resolve().parents[2] / "pyproject.toml"


def version() -> str:
    """The version of the clone, or of the installed distribution where there is no clone."""
    if _PROJECT.exists():
        return str(tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]["version"])
    try:
        return importlib.metadata.version(_NAME)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
