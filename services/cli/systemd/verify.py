"""`hybrid systemd verify`: what systemd itself says of the units that were written, and how exposed each of them is."""

import dataclasses
import os
import pathlib
import re
import subprocess

from services.cli.problem import Problem
from services.cli.systemd.install import ours
from services.cli.systemd.instances import TARGET

# Of systemd's scale from 0, safe, to 10.
MOST = 2.0

_SECONDS = 60.0
_SCORE = re.compile(r"Overall exposure level for (\S+): ([0-9.]+)")


@dataclasses.dataclass(frozen=True, slots=True)
class Verified:
    """A unit's score; `said` is what systemd finds wrong with it."""

    unit: str
    score: float
    said: str


def units(directory: pathlib.Path) -> tuple[str, ...]:
    """The units of this host that were written there.

    Raises:
        Problem: there are none.
    """
    found = [name.partition(".d/")[0] for name in ours(directory) if name.endswith("/50-mesh.conf")]
    if not found:
        raise Problem(f"no units in {directory}; `hybrid systemd install` writes them")
    return tuple(sorted(name for name in found if name != TARGET))


def verify(directory: pathlib.Path) -> tuple[Verified, ...]:
    """Ask `systemd-analyze` about each of them.

    Raises:
        Problem: there are no units, or no such program.
    """
    found = []
    for name in units(directory):
        # It ends with 0 also where it does not know a line, and says so on standard error alone.
        checked = _analyze(directory, "verify", "--man=no", TARGET, name)
        scored = _analyze(directory, "security", "--offline=true", "--no-pager", name)
        match = _SCORE.search(scored.stdout)
        said = checked.stderr + scored.stderr
        if checked.returncode or match is None:
            said = said or "systemd-analyze refuses it without a word"
        found.append(Verified(name, float(match[2]) if match else 10.0, said.strip()))
    return tuple(found)


def _analyze(directory: pathlib.Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    # The directory first, then where systemd looks itself.
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{directory.absolute()}:", "SYSTEMD_COLORS": "0", "LC_ALL": "C"}
    try:
        return subprocess.run(
            ["systemd-analyze", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise Problem("there is no systemd-analyze on this machine; Debian has it in `systemd`") from error
    except subprocess.TimeoutExpired as error:
        raise Problem(f"systemd-analyze has not answered within {_SECONDS:.0f} s") from error
