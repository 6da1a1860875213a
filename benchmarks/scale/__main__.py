"""`python -m benchmarks.scale`: what tokens cost as a mesh grows, what streams hold, how processes start."""

import argparse
import itertools
import json
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import measure, report
from benchmarks.scale import keeping, parts, starts, window
from benchmarks.scale.parts import Point
from benchmarks.scale.window import Streams
from benchmarks.system import System, mesh

_RESULTS = pathlib.Path(__file__).parents[1] / "results"
_STARTS, _MEMORY = "starts", "memory"

Found = tuple[str, Any]


def _measured(system: System, point: Point, *, seconds: float) -> dict[str, Any]:
    if isinstance(point.load, Streams):
        one = window.measure(system, point.load, seconds=seconds)
        return keeping.of_round(one, offered=point.load.rate)
    return keeping.of_round(measure.measure(system, point.load, seconds=seconds))


def _grown(part: str, *, rounds: int, seconds: float, sizes: range) -> Iterator[Found]:
    """A round of a point after the other. Points take turns, so that a busy minute hits them all."""
    points = [point for point in parts.PARTS[part] if point.size in sizes]
    for _ in range(rounds):
        for shape, group in itertools.groupby(points, key=lambda point: point.shape):
            with mesh(workers=shape.workers, token_ms=10, gateways=shape.gateways, routers=shape.routers) as system:
                for point in group:
                    yield point.label, [_measured(system, point, seconds=seconds)]


def _held(*, seconds: float, sizes: range) -> Iterator[Found]:
    """Each number of streams at a mesh of its own: memory that was freed is used again, and would not be seen."""
    for label, streams in parts.MEMORY.items():
        if streams.count in sizes:
            with mesh(workers=1, token_ms=10) as system:
                one, held = window.hold(system, streams, seconds=seconds)
            yield label, keeping.of_round(one, offered=streams.rate) | {"held": keeping.of_held(held)}


def _found(part: str, arguments: argparse.Namespace) -> Iterator[Found]:
    sizes = range(arguments.least, arguments.most + 1)
    if part == _STARTS:
        return iter(starts.rounds(arguments.rounds).items())
    if part == _MEMORY:
        return _held(seconds=arguments.seconds, sizes=sizes)
    return _grown(part, rounds=arguments.rounds, seconds=arguments.seconds, sizes=sizes)


def _kept(arguments: argparse.Namespace) -> dict[str, Any]:
    """What is kept of today under that name, with this command; nothing without a name."""
    kept = report.kept(arguments.results, arguments.name) if arguments.name else {}
    command = " ".join(["python -m benchmarks.scale", *sys.argv[1:]])
    return {
        "commands": [*kept.get("commands", []), command],
        "machine": report.machine(),
        "versions": report.versions(),
        "parts": kept.get("parts", {}),
    }


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
    parser.add_argument("--least", type=int, default=1, help="leave out points with less of what is grown")
    parser.add_argument("--most", type=int, default=4000, help="leave out points with more of it")
    parser.add_argument("--name", help="keep the results under this name; rounds join those that are kept of today")
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS, help="directory of kept results")
    arguments = parser.parse_args()
    content = _kept(arguments)
    for part in arguments.parts:
        for label, one in _found(part, arguments):
            print(f"{part}: {label}", file=sys.stderr)
            keeping.add(content["parts"], {part: {label: one}})
            if arguments.name:  # at once: it takes long, and may be ended before it is over
                text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
                report.keep(arguments.results, arguments.name, "json", text)
    print(_told({part: content["parts"][part] for part in arguments.parts if part in content["parts"]}))


if __name__ == "__main__":
    main()
