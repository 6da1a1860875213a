"""Running pip, and the other long commands of setting up."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from services.cli.setup.failure import SetupError, diagnose
from services.cli.setup.lockfile import requirements, version
from services.cli.setup.progress import Step

POLL_SECONDS = 0.2
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")

# What would send packages elsewhere, make them import other code, or lose the bytecode that pip compiles.
UNWANTED = ("PIP_NO_COMPILE", "PIP_PREFIX", "PIP_ROOT", "PIP_TARGET", "PYTHONHOME", "PYTHONPATH", "PYTHONPYCACHEPREFIX")

Measure = Callable[[], tuple[float, str]]


def run(argv: list[str], *, what: str, step: Step, log: Path, measure: Measure, env: Mapping[str, str]) -> None:
    """Run a command with its output in `log`, showing what `measure` returns until it ends."""
    with log.open("a") as output:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env)
        try:
            while True:
                try:
                    code = process.wait(POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    step.update(*measure())
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if code != 0:
        raise diagnose(what, log)


def environ(scratch: Path) -> dict[str, str]:
    """The user's environment for pip: their proxies, certificates and indexes, our temporary directory."""
    kept = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    # pip unpacks gigabytes of wheels: beside the cache, not in a /tmp that may be memory. An empty file of constraints
    # takes the place of the user's: the lock decides versions, and pip words a missing file differently with any.
    return kept | {"PIP_USER": "0", "PIP_CONSTRAINT": os.devnull, "TMPDIR": str(scratch)}


def without_find_links(python: Path, env: dict[str, str]) -> dict[str, str]:
    """The same settings of pip, less the directories of wheels they name.

    A directory that offers the CPU build of torch wins over the CUDA build of the index, because 2.13.0+cpu sorts after
    2.13.0. No variable unsets a setting of a file, so the files are left out and what they say moves into variables.
    """
    listed = subprocess.run([str(python), *PIP, "config", "list"], env=env, capture_output=True, text=True, check=True)
    settings = dict(env, PIP_CONFIG_FILE=os.devnull)
    for line in listed.stdout.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.partition(".")
        if section in ("global", "install"):
            # A setting with several values is one per line in a file, separated by spaces in a variable.
            settings.setdefault("PIP_" + name.upper().replace("-", "_"), " ".join(str(ast.literal_eval(value)).split()))
    settings.pop("PIP_FIND_LINKS", None)
    return settings


def create_venv(directory: Path, *, step: Step, log: Path) -> None:
    argv = [sys.executable, "-m", "venv", "--clear", str(directory)]
    env = environ(log.parent)
    run(argv, what="creating the environment", step=step, log=log, measure=lambda: (0.0, "venv"), env=env)


def install(lock: Path, directory: Path, *, step: Step, log: Path, find_links: bool) -> None:
    """Install every pin of `lock` into the environment at `directory`."""
    python = directory / "bin" / "python"
    pins = requirements(lock)
    # pip writes INSTALLER last, after the files of a package and their bytecode. pip itself is there from the start.
    marks = "lib/python*/site-packages/*.dist-info/INSTALLER"
    present = len(list(directory.glob(marks)))
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        env = environ(Path(scratch))
        if not find_links:
            env = without_find_links(python, env)

        def measure() -> tuple[float, str]:
            # "Processing" is what pip says of a file that lies in a directory, "Collecting" of any other.
            fetched = len(re.findall(r"^(?:Collecting|Processing) ", log.read_text(errors="replace"), re.MULTILINE))
            installed = max(len(list(directory.glob(marks))) - present, 0)
            share = (fetched + installed) / (2 * len(pins))
            return share, f"{fetched} fetched, {installed} installed of {len(pins)}"

        def pip_install(selected: dict[str, str], name: str, *options: str) -> None:
            chosen = Path(scratch) / name
            chosen.write_text("".join(selected.values()))
            argv = [str(python), *PIP, "install", "--require-hashes", "--no-deps", "--compile", "--progress-bar=off"]
            argv += ["--no-warn-script-location", *options, "-r", str(chosen)]
            run(argv, what=f"installing {lock.name}", step=step, log=log, measure=measure, env=env)

        # A local version (2.13.0+cpu) is on no public index. Alone, it is the only package that asks the extra one.
        local = {name: text for name, text in pins.items() if "+" in version(text)}
        if local:
            try:
                pip_install(local, "local.txt")
            except SetupError:
                if "No matching distribution" not in log.read_text(errors="replace"):
                    raise
                step.say(f"{', '.join(local)}: not in pip's configured sources, asking {TORCH_CPU_INDEX}")
                pip_install(local, "local.txt", "--extra-index-url", TORCH_CPU_INDEX)
        pip_install({name: text for name, text in pins.items() if name not in local}, "pins.txt")
    step.update(1.0, f"{len(pins)} packages")


def download(requirement: str, directory: Path, python: Path, *, step: Step, log: Path, measure: Measure) -> None:
    """Download the one file of a requirement into `directory`, verified against its hashes."""
    chosen = directory / "requirement.txt"
    chosen.write_text(requirement)
    argv = [str(python), *PIP, "download", "--require-hashes", "--no-deps", "--progress-bar=off"]
    argv += ["--dest", str(directory), "-r", str(chosen)]
    run(argv, what="downloading the model", step=step, log=log, measure=measure, env=environ(directory))
