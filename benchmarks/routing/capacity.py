"""How much traffic a fleet bears: the highest rate at which 90 % of the answers are good, for every policy.

All play the first seeds, the heats. Whoever is far behind there is out of the race, and is told by the heats alone; the
others play every seed.
"""

import statistics as plain
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.routing.cases import Case, Material
from benchmarks.routing.contenders import OTHERS, OURS
from benchmarks.routing.play import Player, Run, interval, result
from services.router.simulator import statistics
from services.router.simulator.capacity import Search, highest

GOOD = 0.9
# Of the best of the others in the heats: what it takes to stay in the race, and for how many of them there is room.
_IN_RACE = 0.93
_FINALISTS = 3

Rates = dict[str, list[float]]


class Question(NamedTuple):
    """Which rate a policy bears on each of some seeds. The search begins at `begin`, and goes on from what it found."""

    case: Case
    policy: str
    seeds: tuple[int, ...]
    begin: float


def capacities(player: Player, *, seeds: int, heats: int) -> list[dict[str, Any]]:
    """Each case with every policy's capacity, and how many times the best other's that is.

    Raises:
        TraceError: a trace cannot be read.
    """
    cases, drawn = player.material.cases(), player.material.seeds(seeds)
    everyone = (*OURS, *OTHERS)
    first, rest = tuple(drawn[:heats]), tuple(drawn[heats:])
    heat = _search(player, [Question(case, policy, first, case.rate) for case in cases for policy in everyone])
    questions = []
    for case in cases:
        rates = heat[case]
        questions += [
            Question(case, policy, rest, plain.mean(rates[policy])) for policy in ("adaptive", *finalists(rates))
        ]
    final = _search(player, questions)
    return [_told(case, heat[case], final.get(case, {})) for case in cases]


def finalists(heat: Mapping[str, Sequence[float]]) -> list[str]:
    """The others that stay in the race, best first."""
    mean = {policy: plain.mean(heat[policy]) for policy in OTHERS}
    ranked = sorted(OTHERS, key=lambda policy: (-mean[policy], policy))
    return [policy for policy in ranked[:_FINALISTS] if mean[policy] >= _IN_RACE * mean[ranked[0]]]


def _told(case: Case, heat: Rates, final: Rates) -> dict[str, Any]:
    rates = {policy: [*values, *final.get(policy, [])] for policy, values in heat.items()}
    seeds = max(map(len, rates.values()))
    raced = [policy for policy in OTHERS if len(rates[policy]) == seeds]
    best = max(raced, key=lambda policy: plain.mean(rates[policy]))
    return {
        "case": case.name,
        "seeds": seeds,
        "best_other": best,
        "best_other_rate": plain.mean(rates[best]),
        "policies": {
            policy: {
                "rate": interval(statistics.mean(values)),
                "times_best_other": interval(statistics.ratio(values, rates[best][: len(values)])),
                "seeds": [round(value, 4) for value in values],
            }
            for policy, values in rates.items()
        },
    }


def _search(player: Player, questions: Sequence[Question]) -> dict[Case, Rates]:
    found: dict[Case, Rates] = {}
    rates = player.memory.each(player.material, capacity, questions, player.jobs)
    for question, found_rates in zip(questions, rates, strict=True):
        found.setdefault(question.case, {})[question.policy] = found_rates
    return found


def capacity(material: Material, question: Question) -> list[float]:
    """The highest rate at which enough is good, for each seed."""
    case, policy, seeds, begin = question
    rates: list[float] = []
    for seed in seeds:

        def enough(rate: float, seed: int = seed) -> bool:
            return result(material, Run(case, policy, seed, rate)).summary().good_share >= GOOD

        rates.append(highest(enough, Search(GOOD, rates[-1] if rates else begin, precision=0.02, step=1.1)))
    return rates
