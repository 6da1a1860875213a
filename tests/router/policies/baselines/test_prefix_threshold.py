"""Prefix affinity above a threshold. lightseekorg/smg: model_gateway/src/policies/cache_aware.rs has the values."""

import pytest

from services.router.policies.baselines.prefix_threshold import PrefixThreshold
from services.router.request import Request
from tests.router.policies.fields import Field


def _seen(field: Field, tokens: int, blocks: list[int]) -> Request:
    request = field.request(tokens=tokens, blocks=blocks)
    field.pool.look_up(request)
    return request


def test_the_same_and_a_similar_request_go_where_the_first_one_went() -> None:
    # test_cache_aware_with_balanced_load.
    field = Field(2, PrefixThreshold())
    first = field.choice(_seen(field, 192, [1, 2, 3]))
    field.pool.prefixes.add(first, [1, 2, 3])
    assert field.choice(_seen(field, 192, [1, 2, 3])) == first
    assert field.choice(_seen(field, 128, [1, 2])) == first


def test_loads_that_are_far_apart_beat_affinity() -> None:
    # test_cache_aware_with_imbalanced_load: 20 and 0 with thresholds of 5 and 2.
    field = Field(2, PrefixThreshold(absolute=5, relative=2.0)).loads(20, 0)
    field.pool.prefixes.add(0, [1, 2, 3])
    assert {field.choice(_seen(field, 192, [1, 2, 3])) for _ in range(5)} == {1}


@pytest.mark.parametrize(("loads", "chosen"), [((32, 0), 0), ((33, 0), 1), ((363, 330), 0), ((364, 330), 1)])
def test_both_thresholds_have_to_be_passed(loads: tuple[int, int], chosen: int) -> None:
    field = Field(2, PrefixThreshold()).loads(*loads)
    assert field.choice(field.request(tokens=100, hits=(90, 0))) == chosen


def test_half_a_match_is_not_enough() -> None:
    field = Field(2, PrefixThreshold())
    field.pool.prefixes.add(0, [1, 2, 3])
    assert field.choice(field.request(tokens=100, hits=(50, 0))) == 1
    assert field.choice(field.request(tokens=100, hits=(51, 0))) == 0


def test_without_a_match_the_smallest_tree_or_the_least_load_decides() -> None:
    for cold, chosen in (("smallest_tree", 1), ("least_loaded", 0)):
        field = Field(2, PrefixThreshold(cold=cold)).loads(1, 2)  # type: ignore[arg-type]
        field.pool.prefixes.add(0, [7, 8])
        assert field.choice(field.request()) == chosen


def test_of_equal_matches_the_less_loaded_is_chosen() -> None:
    field = Field(3, PrefixThreshold()).loads(2, 1, 0)
    assert field.choice(field.request(tokens=100, hits=(80, 80, 10))) == 1
