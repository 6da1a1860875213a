"""Who is compared, by the names that policies have."""

from collections.abc import Mapping
from typing import Any

from benchmarks.routing.static_rules import CheapestFirst, FixedShare, LocalFirst
from services.config import strategy as settings
from services.router.policies.adaptive import Adaptive
from services.router.policies.baselines.table import BASELINES
from services.router.simulator.strategies import Maker

OURS = ("adaptive", "latency")
# At their published defaults. Where a rule is told of in two ways, both are there, and the better one counts.
PUBLISHED = (
    "p2c",
    "peak_ewma",
    "peak_ewma:until=first_content",
    "prequal",
    "bounded_hash",
    "prefix_threshold",
    "dynamo_linear",
    "lmetric",
    "lmetric:detect=true",
)
OTHERS = ("least_loaded", "round_robin", *PUBLISHED)

# What `adaptive` is without a part of it; the first is the whole.
ABLATED = (
    "adaptive",
    "ablated:externality=false",
    "ablated:learning=false",
    "ablated:age_guard=false",
    "ablated:index=false",
)

USD_SECONDS = (0, 100, 300, 700, 1500, 3000, 6000, 12000, 25000)
SWEPT = tuple(f"adaptive:seconds_per_usd={seconds}" for seconds in USD_SECONDS)


def static_rules(within: str) -> tuple[str, ...]:
    """Every static rule with every setting that is tried."""
    shares = [f"fixed_share:percent={percent},within={within}" for percent in range(0, 101, 10)]
    queues = [f"local_first:limit={limit},within={within}" for limit in (1, 2, 4, 8, 16, 32, 64)]
    full = [f"cheapest_first:limit={limit},within={within}" for limit in (8, 16, 32, 64, 128)]
    return (*shares, *queues, *full)


def is_ours(policy: str) -> bool:
    """Whether the policy is one of ours, in whatever way it is set."""
    return policy.partition(":")[0] in (*OURS, "ablated")


def _ablated(**switches: Any) -> Adaptive:
    return Adaptive(settings.Adaptive(), **switches)


MAKERS: Mapping[str, Maker] = {
    **BASELINES,
    **{kind.name: kind for kind in (FixedShare, LocalFirst, CheapestFirst)},
    "ablated": _ablated,
}
