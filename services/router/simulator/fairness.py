"""How fairly keys were served: what each got against what was its due."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from services.router.simulator.quantiles import quantiles
from services.router.simulator.rows import Row

# An answer's token is worth two of a prompt, as in the virtual token counter of arXiv 2401.00588.
_OUTPUT_WEIGHT = 2


class Tenancy(NamedTuple):
    """What one key asked for and got.

    Attributes:
        requests: that came.
        good_share: of them.
        demand: tokens asked for, an answer's counted twice.
        service: tokens of good requests, counted so.
        due: what of the service of all would be the key's: no more than it asked for, and beyond that equal shares by
            weight (max-min fairness).
        ttft_p90: of completed requests.
    """

    requests: int
    good_share: float
    demand: int
    service: int
    due: float
    ttft_p90: float


def tenancies(rows: Sequence[Row], weights: Mapping[str, float]) -> dict[str, Tenancy]:
    """Each key's part, by key; one that has no weight has 1."""
    of: dict[str, list[Row]] = {}
    for row in rows:
        of.setdefault(row.key, []).append(row)
    demand = {key: sum(map(_tokens, mine)) for key, mine in of.items()}
    service = {key: sum(_tokens(row) for row in mine if row.good) for key, mine in of.items()}
    due = shares(demand, weights, sum(service.values()))
    return {
        key: Tenancy(
            requests=len(mine),
            good_share=sum(row.good for row in mine) / len(mine),
            demand=demand[key],
            service=service[key],
            due=due[key],
            ttft_p90=quantiles([row.ttft for row in mine if row.ttft is not None]).p90,
        )
        for key, mine in sorted(of.items())
    }


def shares(demand: Mapping[str, int], weights: Mapping[str, float], whole: float) -> dict[str, float]:
    """Weighted max-min fair shares of `whole`: nobody gets more than the demand, the rest is shared by weight."""
    due, left = {}, whole
    keys = sorted(demand, key=lambda key: (demand[key] / weights.get(key, 1.0), key))
    weight = math.fsum(weights.get(key, 1.0) for key in keys)
    for key in keys:
        mine = weights.get(key, 1.0)
        due[key] = min(float(demand[key]), left * mine / weight)
        left -= due[key]
        weight -= mine
    return due


def jain(parts: Iterable[Tenancy]) -> float:
    """Jain's index of service against due, each counted to 1 at most; 1 where all got their due, 1/n where one did."""
    got = [min(1.0, part.service / part.due) for part in parts if part.due > 0]
    squares = math.fsum(share * share for share in got)
    return math.fsum(got) ** 2 / (len(got) * squares) if squares else 1.0


def _tokens(row: Row) -> int:
    return row.input_tokens + _OUTPUT_WEIGHT * row.wanted_tokens
