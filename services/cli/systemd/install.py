"""`hybrid systemd install`: writes the units of this host's processes."""

import os
import pathlib
import sys
from collections.abc import Mapping

from services.chassis import config as files
from services.cli import surroundings
from services.cli.problem import Problem
from services.cli.setup.cache import cache_root
from services.cli.setup.environment import engine_kind
from services.cli.systemd.files import HOME, MARK, Layout, written
from services.cli.systemd.instances import Engine, instances, processes
from services.cli.up import load
from services.config.mesh import MeshConfig
from services.config.provider import VllmProvider

# What ProtectHome and PrivateTmp take away from units.
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  # nothing is put there


def layout(config_file: pathlib.Path) -> Layout:
    """Where things are on this host.

    Raises:
        Problem: units would not see them there.
    """
    # The interpreter is a link; what it leads to has no packages, and must be visible, too.
    python = pathlib.Path(sys.executable)
    for what, path, advice in (
        ("code", surroundings.CLONE, "clone it to /opt/hybridinference"),
        ("environment", python, "set HYBRID_CACHE=/opt/hybridinference-cache, and `make setup` again"),
        ("interpreter", python.resolve(), "install Python 3.11 for everybody"),
        ("configuration", config_file, "put it into /etc/hybridinference"),
    ):
        for hidden in _HIDDEN:
            if path.is_relative_to(hidden):
                raise Problem(f"units do not see {hidden}, and the {what} is {path}: {advice}", code=2)
    return Layout(surroundings.CLONE, python, cache_root(), config_file)


def content(config_file: pathlib.Path, host: str | None, where: Layout) -> dict[str, str]:
    """Every file, by its path below the directory of units.

    Args:
        config_file: the configuration, as an absolute path.
        host: which of its `hosts` is meant; None is the one with this machine's name, or the only one.
        where: where things are.

    Raises:
        Problem: the configuration cannot be used, or not under systemd.
    """
    config = load(config_file, variables(config_file.parent / "environment"))
    if config.ledger.dsn is None:
        why = "the embedded PostgreSQL belongs to `hybrid up`, and units need a server of their own"
        raise Problem(f"{config_file} has no `ledger.dsn`: {why}", code=2)
    names = processes(config, host)
    secrets = [(location, config_file.parent / path) for location, path in files.files_named(config_file)]
    found = instances(config, names, home=HOME, secrets=secrets, engine=_engine(config, names))
    return written(found, where)


def _engine(config: MeshConfig, names: tuple[str, ...]) -> Engine | None:
    mine = (place for place in config.workers() if place.name in names)
    if not any(isinstance(config.providers[place.provider], VllmProvider) for place in mine):
        return None
    return Engine("gpu" if engine_kind() == "gpu" else "cpu", surroundings.engine_python())


def variables(file: pathlib.Path) -> Mapping[str, str]:
    """What units find in their environment: NAME=VALUE by line; nothing where there is no such file."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and not line.lstrip().startswith(("#", ";")))
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


def install(found: Mapping[str, str], directory: pathlib.Path) -> tuple[list[str], list[str]]:
    """Write the files, and remove what an earlier run has written and this one does not.

    Returns:
        Paths that have changed, and paths that are gone.

    Raises:
        Problem: a file of that name is somebody else's, or the directory cannot be written.
    """
    before = ours(directory)
    for name in found:
        if (directory / name).exists() and name not in before:
            raise Problem(f"{directory / name} is there and was not written by this command: move it away", code=1)
    changed = [name for name, text in found.items() if before.get(name) != text]
    gone = sorted(before.keys() - found.keys())
    try:
        for name in changed:
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.{os.getpid()}")
            draft.write_text(found[name], encoding="utf-8")
            draft.chmod(0o644)
            draft.replace(path)
        for name in gone:
            (directory / name).unlink()
            if (parent := (directory / name).parent) != directory and not any(parent.iterdir()):
                parent.rmdir()
    except OSError as error:
        raise Problem(f"{error.filename or directory} cannot be written: {error.strerror}") from error
    return changed, gone


def ours(directory: pathlib.Path) -> dict[str, str]:
    """What this command has written there, by the path below the directory."""
    paths = [*directory.glob("hybridinference*"), *directory.glob("hybridinference*.d/*.conf")]
    texts = {str(path.relative_to(directory)): path.read_text("utf-8") for path in paths if path.is_file()}
    return {name: text for name, text in texts.items() if text.startswith(MARK)}
