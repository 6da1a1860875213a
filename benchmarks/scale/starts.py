"""What each process takes until it serves, and what it holds with nothing to do."""

import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

import psutil

from benchmarks.child import ENVIRONMENT, ROOT
from benchmarks.scale import memory
from benchmarks.system import mesh
from services.cli import state
from services.cli.home import Home

# What is imported by each of our own processes.
MODULES: Mapping[str, str] = {
    "worker": "services.workers.__main__",
    "router": "services.router.__main__",
    "admin": "services.gateway.admin.__main__",
    "loader": "services.gateway.loader.__main__",
    "gateway": "services.gateway.__main__",
}
_NAMES = {"worker": "echo-0"}
_RESTART_SECONDS = 60.0
_IDLE_SECONDS = 3.0


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    """One start of a process.

    Attributes:
        seconds: from its exec until its supervisor knows that it serves.
        cpu_seconds: what it has used by then, and in the three seconds after.
        pss: in KiB, with nothing to do.
        rss: the same, with all that it shares.
    """

    seconds: float
    cpu_seconds: float
    pss: int
    rss: int


@contextlib.contextmanager
def compiled() -> Iterator[None]:
    """Have Python keep compiled modules, as it does unless told otherwise, in a place that is gone afterwards."""
    kept = {name: os.environ.get(name) for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")}
    with tempfile.TemporaryDirectory(prefix="hb-pyc-") as directory:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = directory
        try:
            yield
        finally:
            for name, value in kept.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


def together() -> dict[str, Start]:
    """Every process of a mesh of one each, started as `hybrid up` does it: all that can, at once."""
    with mesh(workers=1, token_ms=10) as system:
        assert system.home is not None
        time.sleep(_IDLE_SECONDS)
        found = {each.name: each for each in _state(system.home).processes if each.state == "ready"}
        return {name: _start(each) for name, each in found.items()}


def alone() -> dict[str, Start]:
    """Each of our own processes, started again while nothing else is."""
    with mesh(workers=1, token_ms=10) as system:
        assert system.home is not None
        return {role: _again(system.home, _NAMES.get(role, role)) for role in MODULES}


def imports() -> dict[str, float]:
    """Seconds of CPU that importing each program takes, above those of Python itself."""
    empty = min(_cpu("pass") for _ in range(3))
    return {role: min(_cpu(f"import {module}") for _ in range(3)) - empty for role, module in MODULES.items()}


def _again(home: pathlib.Path, name: str) -> Start:
    before = next(each for each in _state(home).processes if each.name == name)
    assert before.pid is not None
    psutil.Process(before.pid).terminate()
    until = time.monotonic() + _RESTART_SECONDS
    while time.monotonic() < until:
        time.sleep(0.1)
        now = next(each for each in _state(home).processes if each.name == name)
        if now.state == "ready" and now.pid != before.pid:
            time.sleep(_IDLE_SECONDS)
            return _start(now)
    raise RuntimeError(f"{name} was not back within {_RESTART_SECONDS:g} s")


def _start(process: state.ProcessState) -> Start:
    assert process.pid is not None
    running = psutil.Process(process.pid)
    cpu, held = running.cpu_times(), memory.of([process.pid])
    return Start(process.since - running.create_time(), cpu.user + cpu.system, held.pss, held.rss)


def _state(home: pathlib.Path) -> state.MeshState:
    found = state.read(Home(home))
    assert found is not None, "the mesh runs"
    return found


def _cpu(program: str) -> float:
    code = f"{program}\nimport time\nprint(time.process_time())"
    environment = {**ENVIRONMENT, **{k: v for k, v in os.environ.items() if k == "PYTHONPYCACHEPREFIX"}}
    if "PYTHONDONTWRITEBYTECODE" not in os.environ:
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    return float(done.stdout)


def rounds(count: int) -> dict[str, Any]:
    """Everything, so often; what was kept of modules that were compiled before does not count."""
    with compiled():
        together()
        found: dict[str, Any] = {"imports": [], "together": [], "alone": []}
        for _ in range(count):
            found["imports"].append(imports())
            for name, starts in (("together", together()), ("alone", alone())):
                found[name].append({process: dataclasses.asdict(one) for process, one in starts.items()})
        return found
