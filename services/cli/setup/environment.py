"""The Python environments of a clone, one per lock, shared by all clones with the same lock."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from services.cli.setup.cache import cache_root, exclusive, is_complete, mark_complete
from services.cli.setup.failure import SetupError
from services.cli.setup.installer import create_venv, install
from services.cli.setup.progress import Progress

__all__ = [
    "Environment",
    "cache_root",
    "clients_environment",
    "dev_environment",
    "engine_environment",
    "engine_kind",
    "mesh_environment",
]

CLONE = Path(__file__).resolve().parents[3]
PYTHON = (3, 11)


@dataclass(frozen=True)
class Environment:
    """An environment with exactly the packages of `lock`."""

    name: str
    lock: Path
    find_links: bool = True

    @property
    def path(self) -> Path:
        """Named after the lock's content: a changed lock is another environment."""
        if not self.lock.is_file():
            raise SetupError(f"{self.lock} is missing", "run this from a clone of the repository")
        version = ".".join(map(str, PYTHON))
        key = hashlib.sha256(self.lock.read_bytes() + version.encode()).hexdigest()[:12]
        return cache_root() / "envs" / f"{self.name}-{key}"

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"

    @property
    def ready(self) -> bool:
        # The interpreter is a link: it dangles once the Python it was made from is gone.
        return is_complete(self.path) and self.python.exists()

    def ensure(self, progress: Progress) -> None:
        """Build the environment unless it is there; one process at a time, the others wait for it."""
        if self.ready:
            return
        require_python()
        path = self.path
        with (
            progress.step(f"{self.name} environment") as step,
            exclusive(path, lambda: step.say(f"another process is building {path}, waiting for it")),
        ):
            if self.ready:
                return
            # An environment cannot be moved once made, so it is built in place and counts only once marked.
            shutil.rmtree(path, ignore_errors=True)
            log = path.parent / f"{path.name}.log"
            log.unlink(missing_ok=True)
            create_venv(path, step=step, log=log)
            install(self.lock, path, step=step, log=log, find_links=self.find_links)
            mark_complete(path, f"{self.lock.name} {sys.version}")


def mesh_environment() -> Environment:
    """What the mesh itself runs on."""
    return Environment("mesh", CLONE / "requirements" / "mesh.lock")


def dev_environment() -> Environment:
    """The mesh's packages, and those of tests and checks."""
    return Environment("dev", CLONE / "requirements" / "dev.lock")


def clients_environment() -> Environment:
    """Those of dev, and suites and clients by others that the tests drive the mesh with."""
    return Environment("clients", CLONE / "requirements" / "clients.lock")


def engine_environment() -> Environment:
    """What a vLLM worker runs on, for this machine's hardware."""
    kind = engine_kind()
    return Environment(f"engine-{kind}", CLONE / "requirements" / f"engine-{kind}.lock", find_links=kind == "cpu")


def engine_kind() -> str:
    """`gpu` on a machine with an NVIDIA GPU, else `cpu`; $HYBRID_ENGINE decides otherwise."""
    chosen = os.environ.get("HYBRID_ENGINE")
    if chosen in ("cpu", "gpu"):
        return chosen
    if chosen:
        raise SetupError(f"HYBRID_ENGINE is {chosen!r}", "set it to cpu or gpu, or unset it")
    if Path("/dev/nvidia0").exists():
        return "gpu"
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "cpu"
    return "gpu" if listed.returncode == 0 and listed.stdout.strip() else "cpu"


def require_python() -> None:
    if sys.version_info[:2] != PYTHON:
        needed, found = ".".join(map(str, PYTHON)), ".".join(map(str, sys.version_info[:3]))
        raise SetupError(
            f"this is Python {found}, and the locks are for Python {needed}",
            f"install Python {needed} and run it as python{needed}, or make PYTHON=/path/to/python{needed} ...",
        )
