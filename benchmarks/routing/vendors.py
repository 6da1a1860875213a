"""What it costs to be good with workers of one's own and a vendor: `adaptive` beside static rules, each swept."""

import statistics as plain
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.routing.cases import Case, Material
from benchmarks.routing.contenders import SWEPT, static_rules
from benchmarks.routing.play import Figures, Player, Run, column, interval, result
from services.router.simulator import statistics
from services.router.simulator.sections import Tenant, Wiring

CASES = (Case("hybrid, generated", "hybrid", "", 1.8), Case("hybrid", "hybrid", "mooncake", 1.7))
# Shares of good answers at which costs are compared.
ATTAINED = (0.9, 0.95, 0.97, 0.98, 0.99)
# In the heats: by which a setting is beaten so that it need not be played on.
_CLEARLY_BETTER = 0.02
_CLEARLY_CHEAPER = 0.8
# What requests of the tenants may cost at most, in USD; about the tenth, half and nine tenths of what they would.
BUDGETS = (0.0, 0.001, 0.005, 0.02)


def vendors(player: Player, *, seeds: int, heats: int) -> Iterator[dict[str, Any]]:
    """For each case: every setting's cost and goodput, and the least cost at which enough is good.

    Settings are chosen by the very runs that are told, among more than twice as many of the static rules as of ours.

    Raises:
        TraceError: a trace cannot be read.
    """
    drawn = player.material.seeds(seeds)
    for case in player.material.cases(CASES):
        simple, aware = static_rules("least_loaded"), static_rules("lmetric")
        policies = (*SWEPT, *simple, *aware)
        runs = {policy: [Run(case, policy, seed, case.rate) for seed in drawn] for policy in policies}
        found = player.play(run for policy in policies for run in runs[policy][:heats])
        raced = [policy for group in (SWEPT, simple, aware) for policy in _in_race(found, runs, group, heats)]
        found |= player.play(run for policy in raced for run in runs[policy][heats:])
        swept = _of(raced, SWEPT)
        yield (
            {
                "case": case.name,
                "rate": case.rate,
                "seeds": seeds,
                "settings": {
                    policy: {
                        name: interval(statistics.mean(column(found, runs[policy], name)))
                        for name in ("good", "cost_usd", "vendor", "ttft_p90")
                    }
                    for policy in raced
                },
                "out_of_race": sorted(set(policies) - set(raced)),
                "static": [_compared(found, runs, swept, _of(raced, simple), share) for share in ATTAINED],
                "static_with_lmetric": [_compared(found, runs, swept, _of(raced, aware), share) for share in ATTAINED],
            }
        )


def _in_race(
    found: Mapping[Run, Figures], runs: Mapping[str, Sequence[Run]], group: Sequence[str], heats: int
) -> list[str]:
    """The settings of a group than which no other is both clearly better and clearly cheaper in the heats."""
    told = {
        policy: [plain.mean(column(found, runs[policy][:heats], name)) for name in ("good", "cost_usd")]
        for policy in group
    }
    return [
        policy
        for policy, (good, cost) in told.items()
        if good >= min(ATTAINED) - _CLEARLY_BETTER
        and not any(other > good + _CLEARLY_BETTER and less < _CLEARLY_CHEAPER * cost for other, less in told.values())
    ]


def _of(raced: Sequence[str], group: Sequence[str]) -> list[str]:
    return [policy for policy in raced if policy in group]


def _compared(
    found: Mapping[Run, Figures],
    runs: Mapping[str, Sequence[Run]],
    swept: Sequence[str],
    static: Sequence[str],
    share: float,
) -> dict[str, Any]:
    ours, other = _cheapest(found, runs, swept, share), _cheapest(found, runs, static, share)
    told: dict[str, Any] = {"good": share, "adaptive": ours, "static": other}
    if ours and other:
        costs = [column(found, runs[policy], "cost_usd") for policy in (ours, other)]
        told["cost_usd"] = [plain.mean(cost) for cost in costs]
        told["attained"] = [plain.mean(column(found, runs[policy], "good")) for policy in (ours, other)]
        told["cost_ratio"] = interval(statistics.ratio(*costs))
    return told


def _cheapest(
    found: Mapping[Run, Figures], runs: Mapping[str, Sequence[Run]], policies: Sequence[str], share: float
) -> str | None:
    """The cheapest setting that is good enough on average over the seeds; None where none is."""
    enough = [policy for policy in policies if plain.mean(column(found, runs[policy], "good")) >= share]
    return min(enough, key=lambda policy: plain.mean(column(found, runs[policy], "cost_usd")), default=None)


def budgets(material: Material, *, seeds: int) -> list[dict[str, Any]]:
    """Callers that limit what a request may cost: how many of their requests cost more, which none should.

    Raises:
        TraceError: a trace cannot be read.
    """
    tenants = tuple(Tenant(key=f"limit-{usd:g}", max_cost_usd=usd) for usd in BUDGETS)
    limits = {tenant.key: round((tenant.max_cost_usd or 0.0) * 1e9) for tenant in tenants}
    changes = (("tenants", tenants), ("wiring", Wiring(tell_output=True)))
    told = []
    for case in material.cases(CASES):
        runs = [Run(case, "adaptive", seed, case.rate, changes) for seed in material.seeds(seeds)]
        rows = [row for run in runs for row in result(material, run).rows]
        for key, limit in limits.items():
            mine = [row for row in rows if row.key == key]
            told.append(
                {
                    "case": case.name,
                    "limit_usd": limit / 1e9,
                    "requests": len(mine),
                    "at_vendor": sum(row.worker.startswith("cloud") for row in mine),
                    "exceeded": sum(row.cost_nano_usd > limit for row in mine),
                    "dearest_usd": max(row.cost_nano_usd for row in mine) / 1e9,
                    "good": sum(row.good for row in mine) / len(mine),
                }
            )
    return told
