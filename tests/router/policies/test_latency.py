"""Whoever is expected to be done first."""

import random

from services.config import strategy as settings
from services.router.policies.latency import Latency
from services.router.pools import Pool
from services.router.progress import Pending
from tests.router.policies.targets import loaded, pool, request


def _chosen(served: Pool, weight: float = 1.0, **asked: int) -> str:
    strategy = Latency(settings.Latency(first_content_weight=weight))
    return strategy.choose(request(served, **asked), served.targets, 1000.0, random.Random(1)).worker.name


def _slow(served: Pool, position: int, factor: float) -> None:
    for _ in range(100):
        served.targets[position].speeds.on_read(factor, 1.0, 8000, 1000.0)
        served.targets[position].speeds.on_written(factor, 1.0, 200, 1000.0)


def test_the_faster_one_is_chosen() -> None:
    served = pool(2)
    _slow(served, 0, 3.0)
    assert _chosen(served) == "main-1"


def test_a_fast_one_with_a_long_queue_loses_to_a_slow_one_without() -> None:
    served = pool(2)
    _slow(served, 0, 3.0)
    loaded(served.targets[1], leases=2, pending=[Pending(400_000, 1000.0, 60.0)])
    assert _chosen(served) == "main-0"


def test_what_is_cached_counts() -> None:
    served = pool(3)
    served.prefixes.add(2, range(1, 101))
    asked = request(served, input_tokens=6500, blocks=range(1, 101))
    assert Latency(settings.Latency()).choose(asked, served.targets, 1000.0, random.Random(1)).worker.name == "main-2"


def test_the_weight_says_how_much_the_beginning_counts() -> None:
    served = pool(2)
    # 0.2 s of waiting against 20 generations to run beside, each 0.1 ms for each of 300 tokens.
    loaded(served.targets[0], leases=1, pending=[Pending(4000, 1000.0, 1.0)])
    loaded(served.targets[1], leases=20)
    assert _chosen(served, weight=1.0) == "main-0"
    assert _chosen(served, weight=8.0) == "main-1"


def test_one_that_failed_just_now_is_left_alone_for_a_while() -> None:
    served = pool(2)
    served.targets[0].speeds.penalise(5.0, 1000.0)
    assert _chosen(served) == "main-1"


def test_equals_take_turns() -> None:
    served = pool(2)
    loaded(served.targets[0], turn=2)
    loaded(served.targets[1], turn=1)
    assert _chosen(served) == "main-1"
