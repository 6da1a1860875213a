"""Goodput of everyone at shares of the capacity of the best other, below it and beyond."""

import statistics as plain
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.routing.cases import Case
from benchmarks.routing.contenders import OTHERS
from benchmarks.routing.play import Figures, Player, Run, column, interval
from services.router.simulator import statistics

LOADS = (0.6, 0.8, 1.0, 1.2)
# At each load so many of the others play every seed: those that were best on the first.
_FINALISTS = 2


def loads(player: Player, capacities: Sequence[Mapping[str, Any]], *, seeds: int) -> list[dict[str, Any]]:
    """A row for each case and load: our goodput, that of the best other there, and the one by the other.

    Args:
        player: who plays.
        capacities: as `benchmarks.routing.capacity` found them; what a load is a share of.
        seeds: number of seeds.
    """
    drawn = player.material.seeds(seeds)
    rates = {told["case"]: told["best_other_rate"] for told in capacities}
    places = [
        (case, load, load * rates[case.name])
        for case in player.material.cases()
        if case.name in rates
        for load in LOADS
    ]
    found = player.play(
        [
            Run(case, policy, seed, rate)
            for case, _, rate in places
            for seed in drawn[:1]
            for policy in ("adaptive", *OTHERS)
        ],
    )
    raced = {(case, rate): _best(found, case, rate, drawn[:1]) for case, _, rate in places}
    found |= player.play(
        [
            Run(case, policy, seed, rate)
            for case, _, rate in places
            for seed in drawn[1:]
            for policy in ("adaptive", *raced[case, rate])
        ],
    )
    return [_row(found, case, load, rate, raced[case, rate], drawn) for case, load, rate in places]


def _best(found: Mapping[Run, Figures], case: Case, rate: float, seeds: Sequence[int]) -> list[str]:
    def good(policy: str) -> float:
        return plain.mean(column(found, [Run(case, policy, seed, rate) for seed in seeds], "good"))

    return sorted(OTHERS, key=lambda policy: (-good(policy), policy))[:_FINALISTS]


def _row(
    found: Mapping[Run, Figures], case: Case, load: float, rate: float, others: Sequence[str], seeds: Sequence[int]
) -> dict[str, Any]:
    good = {
        policy: column(found, [Run(case, policy, seed, rate) for seed in seeds], "good")
        for policy in ("adaptive", *others)
    }
    best = max(others, key=lambda policy: plain.mean(good[policy]))
    return {
        "case": case.name,
        "load": load,
        "rate": rate,
        "best_other": best,
        "good": {policy: interval(statistics.mean(values)) for policy, values in good.items()},
        "times_best_other": interval(statistics.ratio(good["adaptive"], good[best])),
    }
