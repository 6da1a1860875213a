"""The simulator's command line."""

import pathlib
import sys
from typing import Annotated, Any

import orjson
import typer
import yaml
from rich.console import Console

from services.chassis.config import ConfigError
from services.router.simulator import capacity as capacities
from services.router.simulator import mesh, runs, scenario, tables
from services.router.simulator.policy import Policy, PolicyError
from services.router.simulator.scenario import Scenario
from services.router.simulator.traffic.trace import TraceError

app = typer.Typer(
    name="simulate",
    help="Plays traffic against simulated fleets, placed by the router's own decision core.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Scenarios = Annotated[list[str], typer.Argument(help="Built-in scenarios by name, or YAML files.")]
OneScenario = Annotated[str, typer.Argument(help="A built-in scenario by name, or a YAML file.")]
TraceOption = Annotated[
    pathlib.Path | None, typer.Option("--trace", help="Azure's CSV or Mooncake's JSON lines; default: the generator.")
]
PolicyOption = Annotated[
    list[str] | None,
    typer.Option("--policy", help="NAME[:key=value,…]; more than once to compare. Default: all of it."),
]
SeedsOption = Annotated[int | None, typer.Option("--seeds", min=1, help="Number of seeds, from 1.")]
JobsOption = Annotated[int, typer.Option("--jobs", min=1, help="Processes.")]
JsonOption = Annotated[pathlib.Path | None, typer.Option("--json", help="File to write the results to as well.")]
RateOption = Annotated[float | None, typer.Option("--rate", min=0.001, help="Times the source's rate.")]
RequestsOption = Annotated[int | None, typer.Option("--requests", min=1, help="Only so many requests.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="KEY=VALUE: another setting of the scenario, as wiring.routers=4.")
]
WindowOption = Annotated[
    tuple[float, float] | None, typer.Option("--window", help="Only requests of this part: from, to, in seconds.")
]


@app.command(name="list")
def list_scenarios() -> None:
    """List the built-in scenarios."""
    for name in scenario.built_in():
        Console().print(f"{name:<16} {scenario.load(name).summary}", highlight=False, soft_wrap=True)


@app.command()
def run(
    name: OneScenario,
    policy: Annotated[str, typer.Option("--policy", help="NAME[:key=value,…].")] = "least_loaded",
    seed: Annotated[int, typer.Option("--seed", help="The seed.")] = 1,
    trace: TraceOption = None,
    rate: RateOption = None,
    requests: RequestsOption = None,
    window: WindowOption = None,
    settings: SetOption = None,
    json: JsonOption = None,
) -> None:
    """Play one seed under one policy; --json writes a line for each request."""
    chosen = _scenario(name, settings, trace=trace, rate=rate, requests=requests, window_seconds=window)
    result = mesh.simulate(chosen, policy, seed)
    summary = {Policy.parse(policy): [result.summary()]}
    _print(tables.comparison(f"{chosen.name}, seed {seed}", summary))
    if chosen.tenants:
        _print(tables.keys("By key", summary))
    if json is not None:
        json.write_bytes(result.to_bytes() + b"\n")


@app.command()
def compare(
    names: Scenarios,
    policy: PolicyOption = None,
    seeds: SeedsOption = None,
    trace: TraceOption = None,
    rate: RateOption = None,
    requests: RequestsOption = None,
    window: WindowOption = None,
    settings: SetOption = None,
    jobs: JobsOption = 2,
    json: JsonOption = None,
) -> None:
    """Play every seed under every policy; the first one is what the others are compared with."""
    data: dict[str, Any] = {}
    for name in names:
        chosen = _scenario(name, settings, trace=trace, rate=rate, requests=requests, window_seconds=window)
        numbers = range(1, (seeds or chosen.seeds) + 1)
        found = runs.compare(chosen, _policies(policy, chosen), numbers, jobs=jobs)
        _print(tables.comparison(f"{chosen.name}: {chosen.summary} {len(numbers)} seeds.", found))
        if chosen.tenants:
            _print(tables.keys("By key", found))
        data[chosen.name] = tables.comparison_data(found, numbers)
    _write(json, data)


@app.command()
def capacity(
    names: Scenarios,
    policy: PolicyOption = None,
    seeds: SeedsOption = None,
    trace: TraceOption = None,
    good: Annotated[float, typer.Option("--good", min=0.01, max=1.0, help="Share of good answers.")] = 0.9,
    requests: RequestsOption = None,
    window: WindowOption = None,
    settings: SetOption = None,
    jobs: JobsOption = 2,
    json: JsonOption = None,
) -> None:
    """Find the highest rate at which enough of the answers are good, for every seed and policy."""
    data: dict[str, Any] = {}
    for name in names:
        chosen = _scenario(name, settings, trace=trace, requests=requests, window_seconds=window)
        numbers = range(1, (seeds or chosen.seeds) + 1)
        search = capacities.Search(good_share=good, low=chosen.traffic.rate)
        found = capacities.capacities(chosen, _policies(policy, chosen), numbers, search, jobs=jobs)
        _print(tables.capacity(f"{chosen.name}: rate at which {good:.0%} are good, {len(numbers)} seeds.", found))
        data[chosen.name] = tables.capacity_data(found, numbers)
    _write(json, data)


def _scenario(name: str, settings: list[str] | None, **traffic: object) -> Scenario:
    changes = {f"traffic.{key}": value for key, value in traffic.items() if value is not None}
    for text in settings or ():
        key, given, value = text.partition("=")
        if not given:
            raise ConfigError([f"`{text}` should be KEY=VALUE"])
        changes[key.strip()] = yaml.safe_load(value)
    return scenario.load(name).changed(changes)


def _policies(given: list[str] | None, chosen: Scenario) -> list[Policy]:
    return [Policy.parse(text) for text in given or chosen.policies]


def _print(table: object) -> None:
    console = Console()
    # A file or a pipe is as wide as it needs to be.
    (console if console.is_terminal else Console(width=200)).print(table)


def _write(path: pathlib.Path | None, data: object) -> None:
    if path is not None:
        path.write_bytes(orjson.dumps(data, option=orjson.OPT_INDENT_2) + b"\n")


def main() -> None:
    """Run the command; what is wrong with what it was given is told in a line."""
    try:
        app()
    except (ConfigError, PolicyError, TraceError) as error:
        Console(stderr=True).print(str(error), markup=False, highlight=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
