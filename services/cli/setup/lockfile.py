"""Reading a lock: which requirements it holds."""

from __future__ import annotations

import re
from pathlib import Path

PIN = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;\\]+)")


def requirements(lock: Path) -> dict[str, str]:
    """The text of each requirement, with its hashes, by package name."""
    found: dict[str, str] = {}
    name = ""
    for line in lock.read_text().splitlines(keepends=True):
        pin = PIN.match(line)
        if pin:
            name = pin["name"]
            found[name] = line
        elif name and line.lstrip().startswith("--hash="):
            found[name] += line
    return found


def version(requirement: str) -> str:
    """The pinned version of a requirement's text."""
    pin = PIN.match(requirement)
    if pin is None:
        raise ValueError(f"not a pinned requirement: {requirement!r}")
    return pin["version"]
