"""`python -m benchmarks.routing`: which rule places requests better, by simulation.

Strategies were tuned on the first halves of traces and on seeds below 1000; this plays the second halves and seeds
from 1000. Without traces only generators are played. Parts that are played again replace those of the same day.
"""

import argparse
import json
import os
import pathlib
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks import report
from benchmarks.routing import capacity, details, loads, tables, vendors
from benchmarks.routing.cases import Material
from benchmarks.routing.memory import Memory
from benchmarks.routing.play import Player

_RESULTS = pathlib.Path(__file__).parents[1] / "results"
PARTS = ("capacity", "loads", "vendors", "budgets", "times", "parts", "staleness", "routers", "faults")


def play(part: str, player: Player, arguments: argparse.Namespace, kept: Mapping[str, Any]) -> Iterable[Any]:
    """What a part finds. Most need the capacities that were found or kept."""
    seeds, heats, few = arguments.seeds, min(arguments.heats, arguments.seeds), min(arguments.few, arguments.seeds)
    rates = {told["case"]: told["best_other_rate"] for told in kept.get("capacity", {}).get("found", [])}
    match part:
        case "capacity":
            return capacity.capacities(player, seeds=seeds, heats=heats)
        case "vendors":
            return vendors.vendors(player, seeds=seeds, heats=heats)
        case "budgets":
            return vendors.budgets(player.material, seeds=few)
        case "faults":
            return details.faults(player, seeds=few)
    if not rates:
        sys.exit(f"{part} needs capacities: play `capacity` first, on the same day, or with it")
    if part == "loads":
        return loads.loads(player, kept["capacity"]["found"], seeds=seeds)
    close = {"times": details.times, "parts": details.parts, "staleness": details.staleness, "routers": details.routers}
    return close[part](player, rates, seeds=few)


def main() -> None:
    """Parse the command line, play, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.routing", description=__doc__)
    parser.add_argument("--traces", type=pathlib.Path, help="folder with the traces of benchmarks/routing/cases.py")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS, help="what is played; default: all")
    parser.add_argument("--seeds", type=int, default=10, help="runs of each, of those that stay in the race")
    parser.add_argument("--heats", type=int, default=1, help="runs of everyone")
    parser.add_argument("--few", type=int, default=4, help="runs of each, in the parts that look closely")
    parser.add_argument("--requests", type=int, default=500, help="of a run, more or less")
    parser.add_argument("--quick", action="store_true", help="two seeds of 300 requests, to see that it works")
    parser.add_argument("--tuning", action="store_true", help="play what one may tune on, not what is held out")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--memory", type=pathlib.Path, help="file of what was found of published rules before")
    parser.add_argument("--name", default="routing", help="keep the results under this name")
    parser.add_argument("--plots", type=pathlib.Path, help="folder to draw plots into, docs/routing")
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS, help="directory of kept results")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seeds, arguments.heats, arguments.requests = 2, 1, 300
    material = Material(arguments.traces, arguments.requests)
    if arguments.tuning:
        material = material._replace(half=0, first_seed=1)
    player = Player(material, Memory(arguments.memory), arguments.jobs)
    found = report.kept(arguments.results, arguments.name) | {
        "machine": report.machine(),
        "versions": report.versions(),
    }
    for part in arguments.parts:
        begun = time.monotonic()
        rows: list[Any] = []
        for row in play(part, player, arguments, found):
            rows.append(row)
            found[part] = {
                "command": " ".join(["python -m benchmarks.routing", *sys.argv[1:]]),
                "commit": found["versions"]["commit"],
                "seconds": round(time.monotonic() - begun, 1),
                "load_average": os.getloadavg()[0],
                "held_out": not arguments.tuning,
                "requests": arguments.requests,
                "found": rows,
            }
            # Kept as it comes: a part may take long.
            path = report.keep(arguments.results, arguments.name, "json", json.dumps(found, indent=1) + "\n")
        print(tables.markdown({part: found[part]}), end="\n\n", flush=True)
        print(path)
    if arguments.plots:
        # Only drawing needs matplotlib, which a mesh does not have.
        from benchmarks.routing import plots

        print(*plots.draw(found, arguments.plots))


if __name__ == "__main__":
    main()
