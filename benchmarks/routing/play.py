"""Playing many runs, and what is kept of each."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.routing.cases import Case, Material
from benchmarks.routing.contenders import MAKERS
from benchmarks.routing.memory import Memory
from services.router.simulator import statistics
from services.router.simulator.mesh import simulate
from services.router.simulator.results import Result

Figures = Mapping[str, float]


class Run(NamedTuple):
    """A run to be played: `changes` are of the scenario's fields, as pairs."""

    case: Case
    policy: str
    seed: int
    rate: float
    changes: tuple[tuple[str, Any], ...] = ()


class Player(NamedTuple):
    """Who plays runs.

    Attributes:
        material: what they are played from.
        memory: what need not be played again.
        jobs: processes.
    """

    material: Material
    memory: Memory
    jobs: int

    def play(self, runs: Iterable[Run]) -> dict[Run, Figures]:
        """What became of each run. Those that occur twice are played once.

        Raises:
            TraceError: a trace cannot be read.
            PolicyError: there is no such policy.
        """
        tasks = list(dict.fromkeys(runs))
        return dict(zip(tasks, self.memory.each(self.material, figures, tasks, self.jobs), strict=True))


def result(material: Material, run: Run) -> Result:
    """One run, request by request."""
    scenario = material.scenario(run.case, run.seed, run.rate, **dict(run.changes))
    return simulate(scenario, run.policy, run.seed, baselines=MAKERS)


def figures(material: Material, run: Run) -> Figures:
    """One run in numbers."""
    summary = result(material, run).summary()
    told = {
        "good": summary.good_share,
        "completed": summary.completed_share,
        "hit": summary.hit_share,
        "cost_usd": summary.cost_usd,
        "jain": summary.jain,
        "tries": summary.amplification,
        "vendor": sum(count for name, count in summary.workers.items() if name.startswith("cloud")) / summary.requests,
    }
    for name, times in (("ttft", summary.ttft), ("tpot", summary.tpot), ("e2e", summary.e2e)):
        told |= {f"{name}_p50": times.p50, f"{name}_p90": times.p90, f"{name}_p99": times.p99}
    return told


def column(found: Mapping[Run, Figures], runs: Sequence[Run], name: str) -> list[float]:
    """One figure of some runs, in their order."""
    return [found[run][name] for run in runs]


def interval(estimate: statistics.Interval) -> dict[str, float | None]:
    """As it is kept, with as many digits as say something; None, which JSON has, is beyond all bounds."""
    return {key: round(value, 5) if math.isfinite(value) else None for key, value in estimate._asdict().items()}
