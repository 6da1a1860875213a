"""`python -m benchmarks.ledger`: how many requests a second one loader brings to PostgreSQL, and what a gateway pays.

The loader is its own process, beside the embedded server with the settings that a mesh gives it (so every commit is
synced), and finds a spool of segments on disk: the rate is sustained from the first commit to the last. A request has
one attempt, with the decision that led to it. The gateway's part is its recorder and spool alone, without a network.
"""

import argparse
import asyncio
import itertools
import json
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import report
from benchmarks.calibration import calibrate
from benchmarks.child import child
from benchmarks.loading import database, load
from benchmarks.quantiles import spread
from benchmarks.records import write_spool
from benchmarks.system import temporary_home

_RESULTS = pathlib.Path(__file__).parent / "results"
_MARGIN_SECONDS = 30.0
_LEVELS = ("info", "warning")

Figures = dict[str, float]


def loading(requests: int) -> Figures:
    """A loader's rate, and the CPU that it and the database take for a request, in µs."""
    with temporary_home() as home:
        size = write_spool(home / "spool", requests)
        with database(home) as (dsn, server):
            figures = asyncio.run(load(home, dsn, server, requests)).figures()
    return {**figures, "bytes_per_request": size / requests}


def accounting(level: str, per_second: float, seconds: float) -> Figures:
    """CPU that accounting takes a gateway for a request, in µs, with logs from that level on."""
    with temporary_home() as home, child("benchmarks.accounting", str(home / "spool"), level) as gateway:
        idle, busy = (gateway.ask(f"{rate} {seconds}", seconds=seconds + _MARGIN_SECONDS) for rate in (0.0, per_second))
    return {
        "requests_per_second": busy["requests"] / seconds,
        "gateway_us": (busy["ns"] - idle["ns"]) / busy["requests"] / 1e3,
    }


def table(parts: dict[str, Sequence[Figures]]) -> str:
    """A row for each figure: median, least, greatest."""
    lines = ["| | median | least | greatest |", "|---|---:|---:|---:|"]
    for part, rounds in parts.items():
        for name in rounds[0]:
            found = spread([one[name] for one in rounds])
            lines.append(f"| {part}: {name} | {found['median']:.4g} | {found['min']:.4g} | {found['max']:.4g} |")
    return "\n".join(lines)


def content(parts: dict[str, Sequence[Figures]], calibration_ms: float) -> dict[str, Any]:
    """What is kept of a measurement."""
    return {
        "command": " ".join(["python -m benchmarks.ledger", *sys.argv[1:]]),
        "machine": report.machine(),
        "versions": report.versions(),
        "calibration_ms": calibration_ms,
        "load_average": os.getloadavg()[0],
        "measured": {
            part: {name: spread([one[name] for one in rounds]) for name in rounds[0]} for part, rounds in parts.items()
        },
    }


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--requests", type=int, default=150_000, help="in the spool")
    parser.add_argument(
        "--per-second", type=float, nargs="*", default=[500.0, 2000.0, 5000.0], help="requests of a gateway"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="for how long it does")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each")
    parser.add_argument("--name", help="keep the results under this name")
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS, help="directory of kept results")
    arguments = parser.parse_args()
    piece = calibrate()
    rounds = range(arguments.rounds)
    parts: dict[str, Sequence[Figures]] = {"loader": [loading(arguments.requests) for _ in rounds]}
    for level, rate in itertools.product(_LEVELS, arguments.per_second):
        parts[f"gateway, {rate:g} requests/s, logs at {level}"] = [
            accounting(level, rate, arguments.seconds) for _ in rounds
        ]
    print(table(parts))
    if arguments.name:
        text = json.dumps(content(parts, piece), indent=1, ensure_ascii=False) + "\n"
        print(report.keep(arguments.results, arguments.name, "json", text))


if __name__ == "__main__":
    main()
