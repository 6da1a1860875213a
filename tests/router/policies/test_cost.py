"""Whoever is cheapest."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.config.model import Price
from services.router.policies.cost import Cost
from services.router.pools import Pool
from services.router.progress import Pending
from services.router.request import Request
from tests.router.policies.targets import loaded, pool, request

_DEAR, _CHEAP = Price(input=2.0, output=8.0), Price(input=0.5, output=2.0, cached_input=0.1)


def _chosen(asked: Request, served: Pool) -> str:
    return Cost().choose(asked, served.targets, 1000.0, random.Random(1)).worker.name


def test_the_cheaper_one_is_chosen_however_busy() -> None:
    served = pool(2)
    loaded(served.targets[0], price=_DEAR)
    loaded(served.targets[1], price=_CHEAP, leases=50)
    assert _chosen(request(served), served) == "main-1"


def test_engines_of_ones_own_cost_nothing() -> None:
    served = pool(2)
    loaded(served.targets[0], price=_CHEAP)
    assert _chosen(request(served), served) == "main-1"


def test_of_equally_cheap_ones_the_least_loaded_is_chosen() -> None:
    served = pool(3)
    for target, leases, capacity in zip(served.targets, (3, 5, 4), (4, 16, 8), strict=True):
        loaded(target, price=_CHEAP, leases=leases, capacity=capacity)
    assert _chosen(request(served), served) == "main-1"


def test_cached_input_is_charged_as_such() -> None:
    served = pool(2)
    loaded(served.targets[0], price=Price(input=0.4, output=2.0))
    loaded(served.targets[1], price=_CHEAP)
    blocks = list(range(1, 16))
    assert _chosen(request(served, blocks=blocks), served) == "main-0"
    served.prefixes.add(1, blocks)
    asked = request(served, blocks=blocks)
    assert _chosen(asked, served) == "main-1"
    # 40 tokens at 0.5 USD and 960 cached ones at 0.1 for a million, and 300 of the answer at 2.
    assert Cost().score(asked, served.targets[1], 1000.0).terms["cost_nano_usd"] == pytest.approx(
        40 * 500 + 960 * 100 + 300 * 2000
    )


def test_one_that_would_begin_too_late_is_passed_over() -> None:
    served = pool(2)
    loaded(served.targets[0], leases=1, pending=[Pending(100_000, 1000.0, 9.0)])
    loaded(served.targets[1], price=_DEAR, kind="openai")
    assert _chosen(request(served, slo=2.0), served) == "main-1"
    assert _chosen(request(served), served) == "main-0"


def test_where_nobody_would_begin_in_time_the_soonest_is_chosen() -> None:
    served = pool(2)
    loaded(served.targets[0], leases=1, pending=[Pending(100_000, 1000.0, 9.0)])
    loaded(served.targets[1], price=_DEAR, kind="openai")
    assert _chosen(request(served, slo=0.1), served) == "main-1"


@given(
    seen=st.lists(
        st.tuples(st.sampled_from([None, _CHEAP, _DEAR]), st.integers(0, 9), st.sampled_from([0, 20_000, 100_000])),
        min_size=1,
        max_size=6,
    ),
    slo=st.sampled_from([None, 0.5, 2.0]),
)
def test_nobody_has_a_lower_score_than_the_chosen_one(
    seen: list[tuple[Price | None, int, int]], slo: float | None
) -> None:
    served = pool(len(seen))
    for target, (price, leases, waiting) in zip(served.targets, seen, strict=True):
        loaded(target, price=price, leases=leases, capacity=4, pending=[Pending(waiting, 1000.0, 9.0)])
    asked = request(served, slo=slo)
    chosen = Cost().choose(asked, served.targets, 1000.0, random.Random(1))
    scores = [Cost().score(asked, target, 1000.0).value for target in served.targets]
    assert scores[chosen.position] == min(scores)
