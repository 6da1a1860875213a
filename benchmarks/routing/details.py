"""A closer look at one load: times, caches, fairness, parts of `adaptive`, late reports, several routers, faults."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.routing.cases import CASES, Case
from benchmarks.routing.contenders import ABLATED, OTHERS, OURS
from benchmarks.routing.play import Figures, Player, Run, column, interval
from services.router.simulator import statistics
from services.router.simulator.sections import Wiring

_BY_NAME = {case.name: case for case in CASES}
# Faults have a time, so that there must be enough requests for them all to happen.
FAULTS = (Case("gray failure", "gray_failure", "", 2.0, 3.0), Case("outage", "outage", "", 1.8, 2.5))
GREEDY = Case("greedy", "greedy", "", 1.5)
# Where parts, late reports and several routers are looked at.
_CLOSE = ("mixed", "prefixes")
# Beside `adaptive`, for the sake of comparison: the best other on most cases.
_BESIDE = ("adaptive", "lmetric")
STALENESS = (0.0, 0.05, 0.2, 1.0)
ROUTERS = (1, 2, 4)


def times(player: Player, rates: Mapping[str, float], *, seeds: int) -> list[dict[str, Any]]:
    """Everyone on the fleets with traces, at nine tenths of the best other's capacity, and where a tenant is greedy."""
    cases = [
        (case, 0.9 * rates[case.name])
        for case in player.material.cases()
        if case.name in ("equal", "mixed") and case.name in rates
    ]
    places = [("", case, rate, ()) for case, rate in [*cases, (GREEDY, GREEDY.rate)]]
    return _table(player, places, (*OURS, *OTHERS), seeds)


def parts(player: Player, rates: Mapping[str, float], *, seeds: int) -> list[dict[str, Any]]:
    """`adaptive` without one of its parts, at the best other's capacity, and where workers fail."""
    places = [("", case, rates[case.name], ()) for case in _close(player, rates)]
    return _table(player, [*places, ("", FAULTS[0], FAULTS[0].rate, ())], ABLATED, seeds)


def staleness(player: Player, rates: Mapping[str, float], *, seeds: int) -> list[dict[str, Any]]:
    """Reports that come late, with two routers: one alone knows of all that it has placed."""
    places = [
        (f"{1e3 * late:.0f} ms", case, rates[case.name], (("wiring", Wiring(routers=2, staleness_seconds=late)),))
        for case in _close(player, rates)
        for late in STALENESS
    ]
    return _table(player, places, _BESIDE, seeds)


def routers(player: Player, rates: Mapping[str, float], *, seeds: int) -> list[dict[str, Any]]:
    """Several routers that deal with the requests in turn, and hear of each other's by the workers, or do not."""
    places = []
    for case in _close(player, rates):
        for count in ROUTERS:
            for shared in (True, False) if count > 1 else (True,):
                told = f"{count}, {'shared' if shared else 'not shared'}" if count > 1 else "1"
                wiring = Wiring(routers=count, share_load=shared, share_prefixes=shared)
                places.append((told, case, rates[case.name], (("wiring", wiring),)))
    return _table(player, places, _BESIDE, seeds)


def faults(player: Player, *, seeds: int) -> list[dict[str, Any]]:
    """Workers that become slow, stall, fail, die or hang, and a time when none can be reached."""
    return _table(player, [("", case, case.rate, ()) for case in FAULTS], (*OURS, *OTHERS), seeds)


def _close(player: Player, rates: Mapping[str, float]) -> list[Case]:
    return [case for case in player.material.cases() if case.name in _CLOSE and case.name in rates]


_Place = tuple[str, Case, float, tuple[tuple[str, Any], ...]]


def _table(player: Player, places: Sequence[_Place], policies: Sequence[str], seeds: int) -> list[dict[str, Any]]:
    drawn = player.material.seeds(seeds)
    # Seeds outermost, so that long runs and short ones are spread evenly over processes.
    found = player.play(
        [
            Run(case, policy, seed, rate, changes)
            for seed in drawn
            for _, case, rate, changes in places
            for policy in policies
        ],
    )
    return [_row(found, place, policy, policies[0], drawn) for place in places for policy in policies]


def _row(found: Mapping[Run, Figures], place: _Place, policy: str, first: str, seeds: Sequence[int]) -> dict[str, Any]:
    told, case, rate, changes = place
    runs = [Run(case, policy, seed, rate, changes) for seed in seeds]
    beside = [Run(case, first, seed, rate, changes) for seed in seeds]
    good = column(found, runs, "good")
    return {
        "case": case.name,
        "wiring": told,
        "rate": rate,
        "policy": policy,
        "seeds": len(seeds),
        "good_less_first": interval(statistics.difference(good, column(found, beside, "good"))),
        **{name: interval(statistics.mean(column(found, runs, name))) for name in found[runs[0]]},
    }
