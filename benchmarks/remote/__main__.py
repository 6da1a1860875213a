"""`python -m benchmarks.remote`: the mesh beside its peers, in front of the same fake OpenAI server."""

import argparse
import dataclasses
import json
import os
import pathlib
import signal
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import report
from benchmarks.measure import Round
from benchmarks.quantiles import spread
from benchmarks.remote import cores, figures, plots, run, suite, table
from benchmarks.remote.contenders import Contenders, names, ready

_RESULTS = pathlib.Path(__file__).parents[1] / "results"
_FULL = suite.Plan(
    rounds=3,
    seconds=5.0,
    requests=(1, 16),
    streams=(32, 256),
    token_ms=10.0,
    limit=2048,
    search_seconds=2.0,
    memory_streams=256,
)
_SHORT = dataclasses.replace(_FULL, rounds=1, seconds=2.0, search_seconds=1.5, memory_streams=0)


def content(
    found: run.Found,
    contenders: Contenders,
    plan: suite.Plan,
    where: cores.Places,
    arguments: Sequence[str],
) -> dict[str, Any]:
    """Everything that was measured, with what it was measured on."""
    rounds = [one.outcome for one in found.windows if isinstance(one.outcome, Round)]
    return {
        # Paths are this machine's alone.
        "command": " ".join(["python -m benchmarks.remote", *("…" if "/" in one else one for one in arguments)]),
        "machine": report.machine(),
        "places": str(where),
        "versions": {**report.versions(), **contenders.versions},
        "plan": dataclasses.asdict(plan),
        "calibration_ms": spread([one.calibration_ms for one in rounds] or [0.0]),
        "load_average": spread([one.load_average for one in rounds] or [0.0]),
        "figures": _plain(rows(found, plan)),
        "tools": _plain({"alone": figures.tools(found.windows, found.rates, plan)})["alone"],
        "not_started": contenders.failures,
        "notes": found.notes,
        "windows": [dataclasses.asdict(one) for one in found.windows],
        "rates": [dataclasses.asdict(one) for one in found.rates],
    }


def rows(found: run.Found, plan: suite.Plan) -> figures.Figures:
    """All that is told of the systems."""
    return {**figures.figures(found.windows, found.rates, plan), **run.memory_rows(found)}


def _plain(told: figures.Figures) -> dict[str, Any]:
    return {name: {system: dataclasses.asdict(one) for system, one in row.items()} for name, row in told.items()}


def measure(arguments: argparse.Namespace) -> None:
    """Measure, print tables, and keep what was found after each part."""
    plan = dataclasses.replace(
        _SHORT if arguments.short else _FULL,
        **{name: told for name in _PLANNED if (told := getattr(arguments, name)) is not None},
    )
    where = cores.places(os.sched_getaffinity(0), nice=arguments.nice)

    contenders = ready(arguments.systems)

    def keep(found: run.Found) -> None:
        if arguments.name:
            kept = json.dumps(content(found, contenders, plan, where, sys.argv[1:]), indent=1, ensure_ascii=False)
            path = report.keep(arguments.results, arguments.name, "json", kept + "\n")
            if told := rows(found, plan):
                plots.draw(told, arguments.systems, path.with_suffix(".svg"))

    found = run.run(contenders, plan, where, lock=arguments.lock, keep=keep)
    print(f"{str(where).capitalize()}.\n")
    print(table.table(rows(found, plan), arguments.systems), end="\n\n")
    print(table.alone(figures.tools(found.windows, found.rates, plan)))
    for name, reason in contenders.failures.items():
        print(f"\n{name} did not start: {reason}")
    for note in found.notes:
        print(f"\n{note}.")


_PLANNED = ("rounds", "seconds", "requests", "streams", "token_ms", "limit", "search_seconds", "memory_streams")


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.remote", description=__doc__)
    parser.add_argument("systems", nargs="*", metavar="system", help=f"of {', '.join(names())}; default: all")
    parser.add_argument("--short", action="store_true", help="one round of short windows, no memory: a few minutes")
    parser.add_argument("--rounds", type=int, help="how often everything is measured")
    parser.add_argument("--seconds", type=float, help="length of a window")
    parser.add_argument("--requests", type=int, nargs="*", help="numbers of clients that ask again and again")
    parser.add_argument("--streams", type=int, nargs="*", help="numbers of streams")
    parser.add_argument("--token-ms", type=float, help="time between the tokens of a stream")
    parser.add_argument("--limit", type=int, help="most streams of the search for the highest rate; 0: no search")
    parser.add_argument("--search-seconds", type=float, help="length of a window of that search")
    parser.add_argument("--memory-streams", type=int, help="streams whose memory is measured; 0: none")
    parser.add_argument(
        "--nice", type=int, default=0, help="of upstream and client; less than 0 where others work, too"
    )
    parser.add_argument("--lock", type=pathlib.Path, help="a file to lock while measuring, to take turns with others")
    parser.add_argument("--name", help="keep the results under this name")
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS, help="directory of kept results")
    arguments = parser.parse_args()
    unknown = set(arguments.systems) - set(names())
    if unknown:
        parser.error(f"no system {', '.join(sorted(unknown))}; there are: {', '.join(names())}")
    arguments.systems = arguments.systems or list(names())
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # who is told to end lets go of what was started
    measure(arguments)


if __name__ == "__main__":
    main()
