"""How much traffic a fleet bears under a policy: the highest rate at which enough of the answers are good."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from services.router.policies.baselines.table import BASELINES
from services.router.simulator.mesh import simulate
from services.router.simulator.policy import Policy
from services.router.simulator.runs import spread
from services.router.simulator.scenario import Scenario
from services.router.simulator.strategies import Maker

_HIGHEST = 64.0
_LARGEST_STEP = 1.5


class Search(NamedTuple):
    """What is searched for, and how exactly.

    Attributes:
        good_share: of the requests, at least.
        low: a rate to begin from; the bracket grows from there.
        precision: the result is this exact, as a share of itself.
        step: by which the bracket grows at first, at most 1.5; a small one is faster where `low` is nearly right.
    """

    good_share: float = 0.9
    low: float = 1.0
    precision: float = 0.01
    step: float = 1.5


DEFAULT = Search()


def capacities(
    scenario: Scenario,
    policies: Sequence[Policy],
    seeds: Sequence[int],
    search: Search = DEFAULT,
    *,
    jobs: int = 2,
    baselines: Mapping[str, Maker] = BASELINES,
) -> dict[Policy, list[float]]:
    """Every policy's capacity on every seed, as a rate of the scenario's traffic, in the seeds' order.

    The requests of a seed are the same at every rate and for every policy, only closer together.

    Raises:
        TraceError: the scenario's trace cannot be read.
        PolicyError: there is no such policy.
    """
    tasks = [(scenario, policy, seed) for seed in seeds for policy in policies]
    done = spread(functools.partial(_of_task, search, baselines), tasks, jobs)
    found: dict[Policy, list[float]] = {policy: [] for policy in policies}
    for (_, policy, _), rate in zip(tasks, done, strict=True):
        found[policy].append(rate)
    return found


def _of_task(search: Search, baselines: Mapping[str, Maker], task: tuple[Scenario, Policy, int]) -> float:
    scenario, policy, seed = task

    def enough(rate: float) -> bool:
        result = simulate(scenario.at_rate(rate), policy, seed, baselines=baselines)
        return result.summary().good_share >= search.good_share

    return highest(enough, search)


def highest(enough: Callable[[float], bool], search: Search) -> float:
    """The highest rate that is enough, by bisection of its logarithm. Takes for granted that less traffic is better.

    0 where even a rate of 1/64 of where it began is too much; infinite where 64 times as much is still enough.
    """
    low = high = search.low
    step = search.step
    if enough(low):
        while enough(high := high * step):
            low, step = high, min(step * step, _LARGEST_STEP)
            if high > search.low * _HIGHEST:
                return math.inf
    else:
        while not enough(low := low / step):
            high, step = low, min(step * step, _LARGEST_STEP)
            if low < search.low / _HIGHEST:
                return 0.0
    while high / low > 1 + search.precision:
        middle = math.sqrt(low * high)
        if enough(middle):
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)
