"""Power of two choices. Finagle: finagle-core/src/main/scala/com/twitter/finagle/loadbalancer/p2c/P2CPick.scala."""

import collections
import random

from services.router.policies.baselines.p2c import PowerOfTwo, pair
from tests.router.policies.fields import Field


def test_of_two_the_less_loaded_is_chosen() -> None:
    field = Field(2, PowerOfTwo()).loads(3, 2)
    assert {field.choice() for _ in range(20)} == {1}


def test_every_ordered_pair_is_equally_likely_and_none_has_the_same_target_twice() -> None:
    targets, rng = Field(4, PowerOfTwo()).targets, random.Random(1)
    drawn = (pair(targets, rng) for _ in range(12_000))
    counts = collections.Counter((one.position, other.position) for one, other in drawn)
    assert len(counts) == 12
    assert all(850 < count < 1150 for count in counts.values()), counts


def test_the_most_loaded_is_never_chosen() -> None:
    field = Field(5, PowerOfTwo()).loads(1, 2, 9, 3, 4)
    assert 2 not in {field.choice() for _ in range(200)}


def test_one_target_is_chosen() -> None:
    assert Field(2, PowerOfTwo()).choice(among=[1]) == 1
