"""How much traffic a fleet bears: the highest rate at which 90 % of the answers are good, for every policy.

All play the first seeds, the heats. Whoever is far behind there is out of the race, and is told by the heats alone; the
others play every seed.
"""

import statistics as plain
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from benchmarks.routing.cases import Case, Material
from benchmarks.routing.contenders import OTHERS, OURS
from benchmarks.routing.play import Player, Run, interval, result
from services.router.simulator import statistics
from services.router.simulator.capacity import Search, highest

GOOD = 0.9
# Of the best of the others in the heats: what it takes to stay in the race, and for how many of them there is room.
_IN_RACE = 0.93
_FINALISTS = 2

# By policy and seed.
Rates = dict[str, dict[int, float]]


class Question(NamedTuple):
    """Which rate a policy bears on each of some seeds. The search begins at `begin`, and goes on from what it found."""

    case: Case
    policy: str
    seeds: tuple[int, ...]
    begin: float


def capacities(player: Player, *, seeds: int, heats: int) -> Iterator[dict[str, Any]]:
    """Each case with every policy's capacity, and how many times the best other's that is.

    Raises:
        TraceError: a trace cannot be read.
    """
    drawn = player.material.seeds(seeds)
    first, rest = tuple(drawn[:heats]), drawn[heats:]
    # So that as many processes as play have something to do.
    shares = [share for share in (tuple(rest[::2]), tuple(rest[1::2])) if share]
    for case in player.material.cases():
        heat = _search(player, [Question(case, policy, first, case.rate) for policy in (*OURS, *OTHERS)])
        final = _search(
            player,
            [
                Question(case, policy, share, plain.mean(heat[policy].values()))
                for policy in ("adaptive", *finalists(heat))
                for share in shares
            ],
        )
        yield _told(case, {policy: heat[policy] | final.get(policy, {}) for policy in heat}, seeds)


def finalists(heat: Rates) -> list[str]:
    """The others that stay in the race, best first."""
    mean = {policy: plain.mean(heat[policy].values()) for policy in OTHERS}
    ranked = sorted(OTHERS, key=lambda policy: (-mean[policy], policy))
    return [policy for policy in ranked[:_FINALISTS] if mean[policy] >= _IN_RACE * mean[ranked[0]]]


def _told(case: Case, found: Rates, seeds: int) -> dict[str, Any]:
    rates = {policy: [values[seed] for seed in sorted(values)] for policy, values in found.items()}
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


def _search(player: Player, questions: Sequence[Question]) -> Rates:
    found: Rates = {}
    for question, rates in zip(
        questions, player.memory.each(player.material, capacity, questions, player.jobs), strict=True
    ):
        found.setdefault(question.policy, {}).update(zip(question.seeds, rates, strict=True))
    return found


def capacity(material: Material, question: Question) -> list[float]:
    """The highest rate at which enough is good, for each seed."""
    case, policy, seeds, begin = question
    rates: list[float] = []
    for seed in seeds:

        def enough(rate: float, seed: int = seed) -> bool:
            return result(material, Run(case, policy, seed, rate)).summary().good_share >= GOOD

        rates.append(highest(enough, Search(GOOD, rates[-1] if rates else begin, precision=0.025, step=1.08)))
    return rates
