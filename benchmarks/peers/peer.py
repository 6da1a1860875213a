"""A peer: how it is installed, which version it is, how it is started before a server that speaks OpenAI's API."""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import subprocess
from collections.abc import Callable
from typing import Protocol

from benchmarks.system import System
from services.cli.setup.environment import CLONE, Environment
from services.cli.setup.progress import Progress


class Start(Protocol):
    """Runs a peer until the context ends; entered when it is well."""

    def __call__(self, upstream_port: int, *, model: str = "bench") -> contextlib.AbstractContextManager[System]: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Peer:
    """One peer.

    Attributes:
        install: makes it ready, once; a wheel or a package of the lock that cannot be had raises.
        version: which version is installed.
        start: runs it before the server on a port of this host.
    """

    name: str
    install: Callable[[Progress], None]
    version: Callable[[], str]
    start: Start


def environment(name: str) -> Environment:
    """The environment of a peer from PyPI, with nothing of ours in it."""
    return Environment(f"peer-{name}", CLONE / "requirements" / "peers" / f"{name}.lock")


def program(name: str, command: str) -> str:
    """Path of a command in a peer's environment."""
    return str(environment(name).path / "bin" / command)


def from_pypi(name: str, start: Start) -> Peer:
    """A peer that is a package of PyPI of the same name."""

    def version() -> str:
        places = [str(place) for place in environment(name).path.glob("lib/python*/site-packages")]
        (found,) = importlib.metadata.distributions(name=name, path=places)
        return found.version

    return Peer(name, environment(name).ensure, version, start)


def from_npm(name: str, package: str, start: Start) -> Peer:
    """A peer that is a package of npm, by the lock in the folder of its name here."""
    folder = pathlib.Path(__file__).parent / name
    installed = folder / "node_modules"

    def install(progress: Progress) -> None:
        written, lock = installed / ".package-lock.json", folder / "package-lock.json"
        if written.is_file() and written.stat().st_mtime >= lock.stat().st_mtime:
            return
        # No package of a lock needs a script to be installed, so none is run.
        command = ["npm", "ci", "--ignore-scripts", "--no-progress", "--no-audit", "--no-fund"]
        with progress.step(f"{name}, from npm"):
            done = subprocess.run(command, cwd=folder, env={**os.environ}, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise RuntimeError(f"npm ci in {folder}: {done.stderr[-2000:]}")

    def version() -> str:
        told: str = json.loads((installed / package / "package.json").read_text(encoding="utf-8"))["version"]
        return told

    return Peer(name, install, version, start)
