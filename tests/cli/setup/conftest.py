"""A Python that makes empty environments and a pip that installs nothing, both at once and offline."""

import sys
from pathlib import Path

import pytest

FAKE_PYTHON = """#!{python} -SE
import os, pathlib, sys, time

arguments = sys.argv[1:]
with open({calls!r}, "a") as calls:
    print(*arguments, file=calls)
if arguments[:2] == ["-m", "venv"]:
    target = pathlib.Path(arguments[-1]) / "bin" / "python"
    target.parent.mkdir(parents=True)
    target.symlink_to({fake!r})
    time.sleep(0.3)
elif "install" in arguments:
    wanted = pathlib.Path(arguments[-1]).read_text()
    if "missing" in wanted and "--extra-index-url" not in arguments:
        sys.exit("ERROR: No matching distribution found for missing")
    if "unreachable" in wanted:
        sys.exit("NewConnectionError: Temporary failure in name resolution")
    print("Collecting everything")
"""


class Pip:
    """What the fakes were asked to do, one line per call."""

    def __init__(self, calls: Path) -> None:
        self._calls = calls

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text().splitlines() if self._calls.exists() else []

    @property
    def environments_made(self) -> int:
        return sum(call.startswith("-m venv") for call in self.calls)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def pip(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Pip:
    fake, calls = tmp_path / "python", tmp_path / "calls"
    fake.write_text(FAKE_PYTHON.format(python=sys.executable, calls=str(calls), fake=str(fake)))
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    return Pip(calls)
