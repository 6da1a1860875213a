"""Many runs, on several processes."""

import functools
import gc
import itertools
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from services.router.policies.baselines.table import BASELINES
from services.router.simulator.mesh import simulate
from services.router.simulator.policy import Policy
from services.router.simulator.results import Summary
from services.router.simulator.scenario import Scenario
from services.router.simulator.strategies import Maker

_Task = TypeVar("_Task")
_Done = TypeVar("_Done")


def spread(work: Callable[[_Task], _Done], tasks: Sequence[_Task], jobs: int) -> list[_Done]:
    """What `work` makes of each task, in their order, on up to `jobs` processes. One is this process itself."""
    if jobs <= 1 or len(tasks) <= 1:
        return [work(task) for task in tasks]
    # Forked, so that a trace which this process has read is not read again; and it need not be looked for garbage.
    with multiprocessing.get_context("fork").Pool(min(jobs, len(tasks)), initializer=gc.freeze) as pool:
        return pool.map(work, tasks, chunksize=1)


def compare(
    scenario: Scenario,
    policies: Sequence[Policy],
    seeds: Sequence[int],
    *,
    jobs: int = 2,
    baselines: Mapping[str, Maker] = BASELINES,
) -> dict[Policy, list[Summary]]:
    """Every policy on every seed: a summary for each, in the seeds' order. The requests of a seed are the same for all.

    Raises:
        TraceError: the scenario's trace cannot be read.
        PolicyError: there is no such policy.
    """
    # Seeds outermost, so that policies of unequal speed are spread evenly over processes.
    tasks = [(scenario, policy, seed) for seed, policy in itertools.product(seeds, policies)]
    done = spread(functools.partial(_summary, baselines), tasks, jobs)
    found: dict[Policy, list[Summary]] = {policy: [] for policy in policies}
    for (_, policy, _), summary in zip(tasks, done, strict=True):
        found[policy].append(summary)
    return found


def _summary(baselines: Mapping[str, Maker], task: tuple[Scenario, Policy, int]) -> Summary:
    scenario, policy, seed = task
    return simulate(scenario, policy, seed, baselines=baselines).summary()
