"""Secrets of the configuration that stand in files of their own: `${file:PATH}`.

Where a manager hands each process the files that it may have (CREDENTIALS_DIRECTORY, systemd.exec(5)), a process reads
them there by their names, and goes without those that are for others. Everywhere else all of them are read.
"""

import pathlib
from collections.abc import Mapping

# In the place of a secret that is for other processes. No secret looks like this.
_WITHHELD = "withheld:"
_MOST_BYTES = 64 << 10

ADVICE = "its secret was not given to this process; `hybrid systemd install` names it in the units that need it"


def read(name: str, beside: pathlib.Path, environment: Mapping[str, str]) -> str:
    """The secret, or what stands in its place in a process that is not to have it.

    Args:
        name: the file; a relative path is meant from `beside`.
        beside: the directory of the configuration.
        environment: may name the directory of what this process was given.

    Raises:
        OSError: it cannot be read.
        ValueError: it is empty, or no text, or too long.
    """
    given = environment.get("CREDENTIALS_DIRECTORY", "")
    file = pathlib.Path(given, pathlib.PurePath(name).name) if given else beside / name
    if given and not file.exists():
        return f"{_WITHHELD}{file.name}"
    data = file.read_bytes()
    if len(data) > _MOST_BYTES:
        raise ValueError(f"it has {len(data)} bytes; a secret has at most {_MOST_BYTES}")
    text = data.decode().strip()
    if not text:
        raise ValueError("it is empty")
    return text


def withheld(secret: str) -> bool:
    """Whether this is what stands in the place of a secret, or has that in it, as a DSN has its password."""
    return _WITHHELD in secret
