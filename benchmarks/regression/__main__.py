"""`python -m benchmarks.regression`: fails where the mesh's CPU per request or per token has grown by more than 15 %.

The mesh with an `openai` worker in front of the fake upstream, and the bare skeleton, take turns. What is compared with
the baseline is the ratio of the two, so that neither the machine nor what else runs there matters much.
"""

import argparse
import contextlib
import json
import pathlib
import sys
from collections.abc import Sequence

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


def measured(rounds: int, seconds: float) -> dict[str, Costs]:
    """The costs of both, round after round.

    Raises:
        RuntimeError: one of them did not start or did not answer.
    """
    found: dict[str, Costs] = {}
    with contextlib.ExitStack() as stack:
        port = free_port()
        stack.enter_context(child("benchmarks.upstream", "--port", str(port), "--token-ms", str(_TOKEN_MS)))
        bare = stack.enter_context(skeleton(token_ms=_TOKEN_MS))
        mesh = stack.enter_context(mesh_remote(port))
        for number in range(rounds):
            for name, load in _LOADS.items():
                calibration, subject = (_cost(one, load, seconds) for one in (bare, mesh))
                before = found.get(name, Costs([], []))
                found[name] = Costs([*before.subject, subject], [*before.calibration, calibration])
                print(f"round {number + 1}: {name}: {subject:.1f} and {calibration:.1f} µs", file=sys.stderr)
    return found


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
    parser.add_argument("--rounds", type=int, default=4, help="how often each is measured")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a window")
    parser.add_argument("--record", action="store_true", help="make what is measured the baseline")
    parser.add_argument("--baseline", type=pathlib.Path, default=_BASELINE, help="where the baseline is kept")
    arguments = parser.parse_args()
    known = json.loads(arguments.baseline.read_text(encoding="utf-8"))["ratios"] if arguments.baseline.exists() else {}
    verdicts = judge(measured(arguments.rounds, arguments.seconds), known)
    print("\n".join(str(one) for one in verdicts))
    if arguments.record:
        record(verdicts, arguments.baseline)
    elif not all(one.passed for one in verdicts):
        sys.exit(1)


if __name__ == "__main__":
    main()
