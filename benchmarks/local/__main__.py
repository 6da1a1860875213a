"""`python -m benchmarks.local`: what everything between the engine and the client costs, beside other front-ends."""

import argparse
import contextlib
import dataclasses
import fcntl
import json
import pathlib
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks import report
from benchmarks.local import systems, tables
from benchmarks.local.run import Run, run
from benchmarks.local.settings import Settings
from benchmarks.local.slices import Slice, alternate, under_load
from benchmarks.quantiles import spread
from benchmarks.system import System
from services.cli.setup.models import smollm2_directory
from services.cli.setup.progress import Progress

_RESULTS = pathlib.Path(__file__).parents[1] / "results"
# More would need longer answers.
_PAIRS_AT_ONCE = 20
# The first answer of a server takes longer than all others.
_WARM_UP_TOKENS = 8


def compare(found: Sequence[System], arguments: argparse.Namespace) -> dict[str, list[Run]]:
    """Each system in turn, round after round."""
    for system in found:
        run(system, streams=1, tokens=_WARM_UP_TOKENS)
    runs: dict[str, list[Run]] = {system.name: [] for system in found}
    with _alone(arguments.lock):
        for number in range(arguments.rounds):
            for system in found:
                runs[system.name].append(run(system, streams=arguments.streams, tokens=arguments.tokens))
                print(f"round {number + 1}: {system.name}: {runs[system.name][-1].front:.1f} µs", file=sys.stderr)
    return runs


def pace(found: Sequence[System], arguments: argparse.Namespace) -> list[tuple[Slice, Slice]]:
    """The mesh and vLLM's HTTP server alone, in slices by turns."""
    by_name = {system.name: system for system in found}
    ours, theirs = by_name[tables.OURS], by_name[systems.HTTP]
    pairs: list[tuple[Slice, Slice]] = []
    while len(pairs) < arguments.pairs:
        count = min(_PAIRS_AT_ONCE, arguments.pairs - len(pairs))
        with contextlib.ExitStack() as stack:
            stack.enter_context(_alone(arguments.lock))
            one, other = (
                stack.enter_context(under_load(system, streams=arguments.streams, tokens=arguments.slice_tokens))
                for system in (ours, theirs)
            )
            pairs += alternate(one, other, pairs=count, seconds=arguments.slice_seconds)
        print(f"{len(pairs)} of {arguments.pairs} pairs", file=sys.stderr)
    return pairs


@contextlib.contextmanager
def _alone(lock: pathlib.Path | None) -> Iterator[None]:
    """Wait until no other measurement that knows of this lock is under way."""
    if lock is None:
        yield
        return
    with open(lock, "a", encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _kept(
    settings: Settings, arguments: argparse.Namespace, runs: dict[str, list[Run]], pairs: list[tuple[Slice, Slice]]
) -> str:
    every = [one for kept in runs.values() for one in kept]
    content: dict[str, Any] = {
        "command": f"python -m benchmarks.local --streams {arguments.streams} --tokens {arguments.tokens}"
        f" --rounds {arguments.rounds} --pairs {arguments.pairs} --layers {arguments.layers}",
        "machine": report.machine(),
        "versions": report.versions() | systems.versions(arguments.systems),
        "engine": dataclasses.asdict(settings) | {"model": settings.model.name},
        "calibration_ms": spread([one.calibration_ms for one in every]) if every else None,
        "load_average": spread([one.load_average for one in every]) if every else None,
        "figures": {name: tables.figures(kept) for name, kept in runs.items() if kept},
        "ratios": {
            what: {name: dataclasses.asdict(one) for name, one in tables.ratios(runs, read).items()}
            for what, read in tables.COMPARED.items()
        },
        "pace": tables.slices_told(pairs) if len(pairs) > 1 else None,
        "slices": [[one.token_seconds, other.token_seconds, one.front, other.front] for one, other in pairs],
        "runs": {name: [dataclasses.asdict(one) for one in kept] for name, kept in runs.items()},
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local", description=__doc__)
    parser.add_argument("systems", nargs="*", metavar="system", help=f"of {', '.join(systems.NAMES)}; default: all")
    parser.add_argument("--streams", type=int, default=64, help="answers at once")
    parser.add_argument("--tokens", type=int, default=24, help="length of an answer")
    parser.add_argument("--rounds", type=int, default=5, help="how often each system is measured")
    parser.add_argument("--pairs", type=int, default=0, help="pairs of slices, for the time per output token")
    parser.add_argument("--slice-seconds", type=float, default=1.5, help="length of a slice")
    parser.add_argument("--slice-tokens", type=int, default=400, help="length of an answer that is cut into slices")
    parser.add_argument("--layers", type=int, default=0, help="of the model, for a faster engine; answers mean nothing")
    parser.add_argument("--lock", type=pathlib.Path, help="a file that measurements on this machine lock by turns")
    parser.add_argument("--name", help="keep the results under this name")
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS, help="directory of kept results")
    arguments = parser.parse_args()
    unknown = set(arguments.systems) - set(systems.NAMES)
    if unknown:
        parser.error(f"no system {', '.join(sorted(unknown))}; there are: {', '.join(systems.NAMES)}")
    arguments.systems = arguments.systems or list(systems.NAMES)
    settings = Settings(smollm2_directory(), max_num_seqs=arguments.streams, layers=arguments.layers)
    systems.install(arguments.systems, Progress(sys.stderr))
    # Asked to end, it ends what it has started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("benchmarks.local: told to end"))
    with contextlib.ExitStack() as stack:
        logs = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hb-logs-")))
        found = stack.enter_context(systems.running(arguments.systems, settings, logs))
        runs = compare(found, arguments)
        pairs = pace(found, arguments)
    if any(runs.values()):
        print(tables.table(runs))
    if len(pairs) > 1:
        print(json.dumps(tables.slices_told(pairs), indent=1, ensure_ascii=False))
    if arguments.name:
        print(report.keep(arguments.results, arguments.name, "json", _kept(settings, arguments, runs, pairs)))


if __name__ == "__main__":
    main()
