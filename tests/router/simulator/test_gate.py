"""`adaptive` is not beaten by a published rule: a small fixed part of what benchmarks/routing plays.

Rates are about those at which the best of the rules has 90 % good answers: below, all are good; far beyond, none is.
"""

import pytest

from services.router.policies.baselines.table import BASELINES
from services.router.simulator import runs, scenario
from services.router.simulator.policy import Policy

_ADAPTIVE = Policy("adaptive")
# At their defaults; those that are told of in two ways, in both.
_RULES = [
    *(Policy(name) for name in (*BASELINES, "least_loaded", "round_robin")),
    Policy.parse("peak_ewma:until=first_content"),
    Policy.parse("lmetric:detect=true"),
]
_SEEDS = (1, 2)
_MARGIN = 0.02


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rate"), [("equal", 2.9), ("mixed", 2.0), ("prefixes", 4.8), ("decode", 10.5), ("hybrid", 2.4)]
)
def test_adaptive_is_as_good_as_every_published_rule(name: str, rate: float) -> None:
    whole = scenario.load(name)
    traffic = whole.traffic.model_copy(update={"rate": rate, "requests": 350})
    found = runs.compare(whole.model_copy(update={"traffic": traffic}), [_ADAPTIVE, *_RULES], _SEEDS, jobs=2)
    good = {policy: sum(summary.good_share for summary in found[policy]) / len(_SEEDS) for policy in found}
    worse = {str(policy): share for policy, share in good.items() if good[_ADAPTIVE] < share - _MARGIN}
    assert not worse, f"adaptive has {good[_ADAPTIVE]:.3f}, and others more than that and {_MARGIN}: {worse}"
