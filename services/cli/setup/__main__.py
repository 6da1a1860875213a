"""python3.11 -m services.cli.setup {mesh,dev,clients,engine,model,embedding-model,all} ...  or  python NAME."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from services.cli.setup.environment import (
    Environment,
    clients_environment,
    dev_environment,
    engine_environment,
    mesh_environment,
)
from services.cli.setup.failure import SetupError, explain
from services.cli.setup.models import MINILM, SMOLLM2, Model, ensure_model
from services.cli.setup.progress import Progress

ENVIRONMENTS: dict[str, Callable[[], Environment]] = {
    "mesh": mesh_environment,
    "dev": dev_environment,
    "clients": clients_environment,
    "engine": engine_environment,
}
MODELS: dict[str, Model] = {"model": SMOLLM2, "embedding-model": MINILM}


def make(part: str, progress: Progress) -> Path:
    """Make one part ready and return where it lies."""
    if part in MODELS:
        return ensure_model(MODELS[part], progress)
    environment = ENVIRONMENTS[part]()
    environment.ensure(progress)
    return environment.path


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python3.11 -m services.cli.setup", description="Set up this clone.")
    commands = parser.add_subparsers(dest="command", required=True)
    parts = (*ENVIRONMENTS, *MODELS)
    setup = commands.add_parser("ready", help=f"make parts ready: {', '.join(parts)} or all")
    setup.add_argument("parts", nargs="+", choices=(*parts, "all"))
    python = commands.add_parser("python", help="print the path of an environment's python")
    python.add_argument("name", choices=ENVIRONMENTS)
    given = list(sys.argv[1:] if arguments is None else arguments)
    # `setup mesh engine` reads better than `setup ready mesh engine`.
    options = parser.parse_args(["ready", *given] if given and given[0] in (*parts, "all") else given)
    try:
        if options.command == "python":
            environment = ENVIRONMENTS[options.name]()
            if not environment.ready:
                hint = f"run: python3.11 -m services.cli.setup {options.name}"
                raise SetupError(f"the {options.name} environment is not set up", hint)
            print(environment.python)
            return 0
        progress = Progress(sys.stderr)
        for part in parts if "all" in options.parts else options.parts:
            print(f"{part}: {make(part, progress)}")
    except SetupError as failure:
        print(failure, file=sys.stderr)
        return 1
    except OSError as failure:
        print(explain(failure), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: run this again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
