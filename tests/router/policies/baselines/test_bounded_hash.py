"""Bounded hashing. lightseekorg/smg: model_gateway/src/policies/prefix_hash.rs has the values of loads."""

import collections

import pytest

from services.router.policies.baselines.bounded_hash import BoundedHash
from tests.router.policies.fields import Field

_MIX = 0x9E3779B97F4A7C15


def _blocks(number: int) -> list[int]:
    return [(number + 1) * _MIX % 2**64]


def test_the_same_beginning_goes_to_the_same_target_whatever_follows() -> None:
    field = Field(3, BoundedHash())
    chosen = {field.choice(field.request(blocks=[1, 2, 3, 4, *rest])) for rest in ([5], [6, 7], [], [8, 9, 10])}
    assert len(chosen) == 1


def test_different_beginnings_are_spread() -> None:
    field = Field(3, BoundedHash())
    counts = collections.Counter(field.choice(field.request(blocks=_blocks(number))) for number in range(300))
    assert len(counts) == 3
    assert min(counts.values()) > 50, counts


@pytest.mark.parametrize(("load", "stays"), [(30, True), (35, False)])
def test_a_target_is_passed_by_beyond_its_bound(load: int, stays: bool) -> None:
    # load_ok: of 100 at 4 workers the threshold is 31.25.
    field = Field(4, BoundedHash())
    home = field.choice(field.request(blocks=_blocks(1)))
    others = [(100 - load) // 3 + (number < (100 - load) % 3) for number in range(3)]
    loads = [*others[:home], load, *others[home:]]
    assert (field.loads(*loads).choice(field.request(blocks=_blocks(1))) == home) is stays


def test_what_one_cannot_take_always_goes_to_the_same_next_one() -> None:
    field = Field(8, BoundedHash())
    home = field.choice(field.request(blocks=_blocks(7)))
    field.targets[home].worker.leases = 50
    assert len({field.choice(field.request(blocks=_blocks(7))) for _ in range(10)}) == 1


def test_a_target_that_leaves_moves_only_what_it_had() -> None:
    field = Field(6, BoundedHash())
    before = [field.choice(field.request(blocks=_blocks(number))) for number in range(200)]
    left = [index for index in range(6) if index != 2]
    after = [field.choice(field.request(blocks=_blocks(number)), among=left) for number in range(200)]
    assert [one for one, other in zip(before, after, strict=True) if one != other] == [2] * before.count(2)


def test_nobody_ever_has_more_than_its_bound() -> None:
    field = Field(5, BoundedHash())
    for number in range(400):
        request = field.request(blocks=_blocks(number % 7))
        field.place(field.choice(request), request)
        loads = [target.load for target in field.targets]
        assert max(loads) <= -(-(number + 1) * 5 // 20) + 1, loads


def test_a_request_without_blocks_goes_to_the_least_loaded() -> None:
    assert Field(3, BoundedHash()).loads(2, 1, 3).choice() == 1
