"""`python -m benchmarks`: what the mesh costs, beside its own bare skeleton."""

import argparse
import contextlib
import pathlib
import sys
from collections.abc import Sequence

from benchmarks import profile, report
from benchmarks.measure import Load, Round, measure
from benchmarks.skeleton.running import skeleton
from benchmarks.system import System, mesh, source

_RESULTS = pathlib.Path(__file__).parent / "results"


def run(arguments: argparse.Namespace) -> None:
    """Measure every load on every system, round after round, so that a busy minute hits them all."""
    loads = [Load("streams", count) for count in arguments.streams]
    loads += [Load("requests", count) for count in arguments.requests]
    with contextlib.ExitStack() as stack:
        systems = _systems(stack, arguments)
        # A source of bytes answers no request.
        pairs = [(one, load) for load in loads for one in systems if load.kind == "streams" or one.name != "source"]
        rounds: list[list[Round]] = [[] for _ in pairs]
        for number in range(arguments.rounds):
            for kept, (system, load) in zip(rounds, pairs, strict=True):
                kept.append(measure(system, load, seconds=arguments.seconds))
                print(f"round {number + 1}: {system.name}, {load.name}", file=sys.stderr)
    cases = [
        report.Case(system.name, load, kept, load.connections * 1e3 / arguments.token_ms)
        for kept, (system, load) in zip(rounds, pairs, strict=True)
    ]
    print(report.tables(cases))
    if arguments.name:
        print(report.write(arguments.results, arguments.name, _command(), cases))


def _systems(stack: contextlib.ExitStack, arguments: argparse.Namespace) -> Sequence[System]:
    systems = [stack.enter_context(mesh(workers=arguments.workers, token_ms=arguments.token_ms))]
    if not arguments.mesh_only:
        systems.append(stack.enter_context(skeleton(token_ms=arguments.token_ms)))
        systems.append(stack.enter_context(skeleton(token_ms=arguments.token_ms, envoy="mesh")))
        systems.append(stack.enter_context(source(token_ms=arguments.token_ms)))
    return systems


def profiles(arguments: argparse.Namespace) -> None:
    """Profile the gateway of the mesh and that of the skeleton under the same loads."""
    loads = [Load("streams", count) for count in arguments.streams]
    loads += [Load("requests", count) for count in arguments.requests]
    parts = [_command()]
    with contextlib.ExitStack() as stack:
        systems = [
            stack.enter_context(mesh(workers=arguments.workers, token_ms=arguments.token_ms)),
            stack.enter_context(skeleton(token_ms=arguments.token_ms)),
        ]
        for load in loads:
            found = {one.name: profile.profile(one, load, seconds=arguments.seconds) for one in systems}
            parts.append(f"The gateway under {load.name}: µs of CPU per {load.unit}\n\n{profile.table(found)}")
    text = "\n\n".join(parts)
    print(text)
    if arguments.name:
        print(report.keep(arguments.results, arguments.name, "txt", text))


def _command() -> str:
    return " ".join(["python -m benchmarks", *sys.argv[1:]])


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["run", "profile"], default="run")
    parser.add_argument("--rounds", type=int, default=5, help="how often each load is measured")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a window")
    parser.add_argument("--streams", type=int, nargs="*", default=[32], help="numbers of streams")
    parser.add_argument("--requests", type=int, nargs="*", default=[1, 16], help="numbers of concurrent askers")
    parser.add_argument("--token-ms", type=float, default=10.0, help="time between the tokens of a stream")
    parser.add_argument("--workers", type=int, default=1, help="echo workers of the mesh")
    parser.add_argument("--mesh-only", action="store_true", help="nothing to compare with")
    parser.add_argument("--name", help="keep the results under this name")
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS, help="directory of kept results")
    arguments = parser.parse_args()
    (run if arguments.what == "run" else profiles)(arguments)


if __name__ == "__main__":
    main()
