"""`python -m benchmarks.regression`: fails where the mesh's CPU per request or per token has grown by more than 15 %.

The mesh with an `openai` worker in front of the fake upstream, and the bare skeleton, take turns. What is compared with
the baseline is the ratio of the two, so that neither the machine nor what else runs there matters much. What has not
passed is measured again: chance hardly fails three times, a regression does.
"""

import argparse
import contextlib
import json
import pathlib
import statistics
import sys
from collections.abc import Mapping, Sequence

from benchmarks import report
from benchmarks.child import child
from benchmarks.measure import Load, Round, measure
from benchmarks.regression.judge import Costs, Verdict, judge
from benchmarks.skeleton.running import skeleton
from benchmarks.system import System, free_port, mesh_remote

_BASELINE = pathlib.Path(__file__).parents[1] / "baseline.json"
_TOKEN_MS = 10.0
_LOADS = {
    "CPU per request, 16 clients": Load("requests", 16),
    "CPU per token, 32 streams": Load("streams", 32),
}


def cost(told: Round) -> float:
    """CPU of all processes of a system per unit, in µs."""
    return sum(told.cost(role) for role in told.processes if role != "client")


def measured(mesh: System, bare: System, name: str, turns: int, seconds: float) -> Costs:
    """The costs of both under one load, in turns.

    Raises:
        RuntimeError: one of them did not answer.
    """
    load = _LOADS[name]
    subject, calibration = [], [_cost(bare, load, seconds)]
    for _ in range(turns):
        subject.append(_cost(mesh, load, seconds))
        calibration.append(_cost(bare, load, seconds))
    found = Costs(subject, calibration)
    both = f"{statistics.median(subject):.0f} and {statistics.median(calibration):.0f} µs"
    print(f"{name}: {both}; {' '.join(f'{ratio:.2f}' for ratio in found.ratios())} times", file=sys.stderr)
    return found


def judged(turns: int, seconds: float, tries: int, known: Mapping[str, float]) -> Sequence[Verdict]:
    """Measure until everything has passed, so often at most.

    Raises:
        RuntimeError: one of them did not start or did not answer.
    """
    with contextlib.ExitStack() as stack:
        port = free_port()
        stack.enter_context(child("benchmarks.upstream", "--port", str(port), "--token-ms", str(_TOKEN_MS)))
        bare = stack.enter_context(skeleton(token_ms=_TOKEN_MS))
        mesh = stack.enter_context(mesh_remote(port))
        found: dict[str, list[Costs]] = {name: [] for name in _LOADS}
        again = set(_LOADS)
        for _ in range(tries):
            for name in [one for one in _LOADS if one in again]:
                found[name].append(measured(mesh, bare, name, turns, seconds))
            verdicts = judge(found, known)
            again = {one.name for one in verdicts if one.baseline is not None and not one.passed}
            if not again:
                break
    return verdicts


def _cost(system: System, load: Load, seconds: float) -> float:
    return cost(measure(system, load, seconds=seconds))


def record(verdicts: Sequence[Verdict], path: pathlib.Path) -> None:
    """Make what was measured the baseline."""
    kept = {
        "versions": report.versions(),
        "machine": report.machine(),
        "ratios": {one.name: round(one.ratio, 4) for one in verdicts},
    }
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Parse the command line, measure, judge."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.regression", description=__doc__)
    parser.add_argument("--turns", type=int, default=5, help="how often each is measured")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a window")
    parser.add_argument("--tries", type=int, default=3, help="how often what has not passed is measured in all")
    parser.add_argument("--record", action="store_true", help="make what is measured the baseline")
    parser.add_argument("--baseline", type=pathlib.Path, default=_BASELINE, help="where the baseline is kept")
    arguments = parser.parse_args()
    known = json.loads(arguments.baseline.read_text(encoding="utf-8"))["ratios"] if arguments.baseline.exists() else {}
    if arguments.record:
        known = {}
    verdicts = judged(arguments.turns, arguments.seconds, arguments.tries, known)
    print("\n".join(str(one) for one in verdicts))
    if arguments.record:
        record(verdicts, arguments.baseline)
    elif not all(one.passed for one in verdicts):
        sys.exit(1)


if __name__ == "__main__":
    main()
