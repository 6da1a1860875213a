"""From the ledger to the simulator: what is read, written down, said and run."""

import asyncio
import contextlib
import datetime
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence

import yaml

from services.cli import proof, requests, surroundings
from services.cli.fleet import fleet
from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.replay import past, trace
from services.cli.replay.scene import policy, scene
from services.cli.state import MeshState
from services.cli.up import load
from services.config.mesh import MeshConfig
from services.config.model import Model

SIMULATOR = "services.router.simulator"
# As many attempts tell how fast a provider is, and are read in a second or two.
_ATTEMPTS = 20_000
_FEW = 100
_OTHERS = ("adaptive", "least_loaded", "round_robin")


def replay(
    home: Home, mesh: MeshState, *, name: str | None, days: float, most: int, strategies: Sequence[str], seeds: int
) -> int:
    """Compare strategies on what was asked of a model, and return the simulator's exit code.

    Args:
        home: where the trace and the scenario are written.
        mesh: the running mesh, whose ledger and configuration are read.
        name: the model; None is the first.
        days: how far back.
        most: no more requests than that, the newest.
        strategies: as the simulator names them; the model's own comes first anyway.
        seeds: number of seeds.

    Raises:
        Problem: there is no such model, or nothing was asked of it.
    """
    config = load(pathlib.Path(mesh.config), surroundings.environment(os.environ))
    model = _model(config, name)
    dsn = requests.dsn_of(mesh)
    asked = requests.read(past.asked(dsn, (model.name, *model.aliases), days=days, most=most))
    if not asked:
        raise Problem(f"the ledger has no request for `{model.name}` in the last {days:g} days")
    providers = sorted({route.provider for route in model.routes})
    attempts = requests.read(past.served(dsn, providers, days=days, most=_ATTEMPTS))
    with contextlib.chdir(home.path):  # the router's socket is meant from there, and its path has to be short
        rows = asyncio.run(fleet(mesh.routers, proof.of_mesh(mesh))) or ()
    made = scene(config, model, attempts, {row.worker: row.capacity for row in rows}, seeds=seeds)
    directory = home.path / "replay"
    directory.mkdir(mode=0o700, exist_ok=True)
    file, traffic = directory / "scenario.yaml", directory / "trace.jsonl"
    traffic.write_text("".join(trace.lines(asked, model.name)), encoding="utf-8")
    made.scenario["traffic"]["trace"] = str(traffic)
    file.write_text(yaml.safe_dump(made.scenario, sort_keys=False, allow_unicode=True), encoding="utf-8")
    print(_said(model, asked, made.assumed, file), flush=True)
    wanted = dict.fromkeys([policy(model.strategy), *(strategies or _OTHERS)])
    options = [option for each in wanted for option in ("--policy", each)]
    command = [sys.executable, "-m", SIMULATOR, "compare", str(file), *options]
    return subprocess.run(command, check=False).returncode


def _model(config: MeshConfig, name: str | None) -> Model:
    for model in config.models:
        if name is None or name in (model.name, *model.aliases):
            return model
    raise Problem(f"no model `{name}`; there are: {', '.join(model.name for model in config.models)}", code=2)


def _said(model: Model, asked: Sequence[past.Asked], assumed: Sequence[str], file: pathlib.Path) -> str:
    begin, end = (datetime.datetime.fromtimestamp(one.at, datetime.UTC) for one in (asked[0], asked[-1]))
    head = f"{len(asked)} requests for {model.name}, {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC."
    points = [*assumed]
    missing = sum(one.output_tokens is None for one in asked)
    if missing:
        points.append(
            f"{missing} answers are not whole; each would have had {trace.usual_answer(asked)} tokens, the median"
        )
    points += [
        f"gaps of more than {trace.LONGEST_GAP_SECONDS:.0f} s are as long as that",
        "of prompts the first 16,384 tokens are known, as estimated, by hashes, which differ between callers",
        "who asked, and what else the workers had to do, is left out",
        "each seed leaves out a tenth of the requests and moves the others by up to a second",
    ]
    if len(asked) < _FEW:
        points.append(f"{len(asked)} requests are few: differences may be chance")
    listed = "\n".join(f"  - {point}" for point in points)
    return f"{head} Assumed:\n{listed}\nAs a scenario: {file}"
