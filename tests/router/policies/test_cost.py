"""Whoever is cheapest."""

import random

import pytest

from services.config.model import Price
from services.router.policies.cost import Cost
from services.router.pools import Pool
from services.router.request import Request
from services.router.worker import Pending
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
