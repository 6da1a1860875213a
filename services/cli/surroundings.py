"""What the processes of a mesh find in their environment, and which configuration is meant when none is named."""

import os
import pathlib
import tempfile
from collections.abc import Mapping

from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.setup.environment import engine_environment
from services.cli.setup.failure import SetupError
from services.cli.setup.models import smollm2_directory

CLONE = pathlib.Path(__file__).resolve().parents[2]
MIGRATIONS = CLONE / "infrastructure" / "postgres" / "migrations"
LOCAL = CLONE / "infrastructure" / "config" / "local.yaml"
DEMO = CLONE / "infrastructure" / "config" / "demo.yaml"
BUILT_IN = (LOCAL, DEMO)

# The engine makes unix sockets there, with names of 36 bytes, and a socket's path has room for 107.
_MOST_TEMPORARY_PATH = 107 - len("/") - 36

# The built-in configuration names the model by this variable, since its directory is in a cache.
MODEL_VARIABLE = "HYBRID_SMOLLM2"
# By this one the built-in configurations have ports for Prometheus.
METRICS_VARIABLE, _METRICS_PORT = "HYBRID_METRICS_PORT", "9400"


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """All that the user has, and where code and model are."""
    found = dict(base)
    if not found.get(MODEL_VARIABLE):
        try:
            directory = smollm2_directory()
        except SetupError:
            directory = pathlib.Path()  # without it a configuration that asks for the variable says what to do
        if (directory / "config.json").exists():
            found[MODEL_VARIABLE] = str(directory)
    paths = [str(CLONE), str(CLONE / "gen"), *filter(None, found.get("PYTHONPATH", "").split(":"))]
    found["PYTHONPATH"] = ":".join(dict.fromkeys(paths))
    return found


def temporary(home: Home) -> pathlib.Path:
    """Make what the processes take for /tmp, to be removed when the mesh ends; in the home, unless its path is long.

    An engine leaves sockets behind even when it ends well, and more when it is killed.
    """
    directory = home.run / "tmp"
    if len(os.fsencode(directory)) > _MOST_TEMPORARY_PATH:
        return pathlib.Path(tempfile.mkdtemp(prefix="hybrid-"))
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def chosen_config(given: pathlib.Path | None, home: Home) -> pathlib.Path:
    """The file that is named, else the home's own, else the built-in one; absolute."""
    if given is not None:
        return given.absolute()
    return home.config if home.config.exists() else LOCAL


def require_model(environment: Mapping[str, str]) -> None:
    """See to it that the built-in configuration has its model.

    Raises:
        Problem: it was not made.
    """
    if not environment.get(MODEL_VARIABLE):
        raise Problem("the model is not there; `make setup` makes it, and `hybrid demo` does without it")


def give_ports(environment: dict[str, str]) -> None:
    """Have the processes of a built-in configuration tell of themselves on ports, if they do not already."""
    environment[METRICS_VARIABLE] = environment.get(METRICS_VARIABLE) or _METRICS_PORT


def engine_python() -> str:
    """The interpreter that vLLM is installed for.

    Raises:
        Problem: it is not there.
    """
    try:
        engine = engine_environment()
        if engine.ready:
            return str(engine.python)
    except SetupError as error:
        raise Problem(str(error)) from error
    raise Problem("the engine's environment is not set up; `make setup` makes it, and `hybrid demo` does without it")
