"""`python -m benchmarks.scale`: what tokens cost as a mesh grows, what streams hold, how processes start."""

import argparse
import itertools
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from benchmarks import measure, report
from benchmarks.scale import keeping, parts, starts, window
from benchmarks.scale.parts import Point
from benchmarks.scale.window import Streams
from benchmarks.system import System, mesh

_RESULTS = pathlib.Path(__file__).parents[1] / "results"
_STARTS, _MEMORY = "starts", "memory"


def _measured(system: System, point: Point, *, seconds: float) -> dict[str, Any]:
    if isinstance(point.load, Streams):
        one = window.measure(system, point.load, seconds=seconds)
        return keeping.of_round(one, offered=point.load.rate)
    return keeping.of_round(measure.measure(system, point.load, seconds=seconds))


def _grown(part: str, *, rounds: int, seconds: float, most: int) -> dict[str, list[dict[str, Any]]]:
    """Rounds by point. Points take turns, so that a busy minute hits them all."""
    points = [point for point in parts.PARTS[part] if point.size <= most]
    found: dict[str, list[dict[str, Any]]] = {point.label: [] for point in points}
    for number in range(rounds):
        for shape, group in itertools.groupby(points, key=lambda point: point.shape):
            with mesh(workers=shape.workers, token_ms=10, gateways=shape.gateways, routers=shape.routers) as system:
                for point in group:
                    found[point.label].append(_measured(system, point, seconds=seconds))
                    print(f"round {number + 1}: {part}, {point.label}", file=sys.stderr)
    return found


def _held(*, seconds: float, most: int) -> dict[str, Any]:
    """Each number of streams at a mesh of its own: memory that was freed is used again, and would not be seen."""
    found = {}
    for label, streams in parts.MEMORY.items():
        if streams.count <= most:
            with mesh(workers=1, token_ms=10) as system:
                one, held = window.hold(system, streams, seconds=seconds)
            found[label] = keeping.of_round(one, offered=streams.rate) | {"held": keeping.of_held(held)}
            print(f"{_MEMORY}: {label}", file=sys.stderr)
    return found


def _told(found: dict[str, Any]) -> str:
    tables: dict[str, Callable[[Any], str]] = {_MEMORY: keeping.memory_table, _STARTS: keeping.starts_table}
    return "\n".join(f"### {part}\n\n{tables.get(part, keeping.table)(points)}" for part, points in found.items())


def main() -> None:
    """Parse the command line and measure."""
    names = [*parts.PARTS, _MEMORY, _STARTS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--parts", nargs="*", default=names, choices=names, metavar="PART", help="; ".join(names))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="of a window")
    parser.add_argument("--most", type=int, default=4000, help="leave out points with more of what is grown")
    parser.add_argument("--name", help="keep the results under this name; rounds join those that are kept of today")
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS, help="directory of kept results")
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    for part in arguments.parts:
        if part == _STARTS:
            found[part] = starts.rounds(arguments.rounds)
        elif part == _MEMORY:
            found[part] = _held(seconds=arguments.seconds, most=arguments.most)
        else:
            found[part] = _grown(part, rounds=arguments.rounds, seconds=arguments.seconds, most=arguments.most)
    if arguments.name:
        content = report.kept(arguments.results, arguments.name) or {"commands": [], "parts": {}}
        content["commands"].append(" ".join(["python -m benchmarks.scale", *sys.argv[1:]]))
        content |= {"machine": report.machine(), "versions": report.versions()}
        keeping.add(content["parts"], found)
        found = {part: content["parts"][part] for part in found}
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        print(report.keep(arguments.results, arguments.name, "json", text))
    print(_told(found))


if __name__ == "__main__":
    main()
