"""Dynamo's linear cost. ai-dynamo/dynamo: lib/kv-router/src/scheduling/selector/default.rs has the values."""

import collections

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.policies.baselines.active_blocks import ActiveBlocks
from services.router.policies.baselines.dynamo_linear import DynamoLinear
from tests.router.policies.fields import Field


def _cost(field: Field, index: int, **request: object) -> float:
    score = field.strategy.score(field.request(**request), field.targets[index], field.now)  # type: ignore[arg-type]
    assert score is not None
    return score.value


def test_the_scale_applies_after_the_credit() -> None:
    # test_prefill_load_scale_applies_after_overlap_credits: 2 x (4 - 2) + 3 and 2 x 4 + 0; here with the own 4 as well.
    field = Field(2, DynamoLinear(scale=2.0))
    field.place(0, field.request(tokens=48, block_tokens=16))
    asked = {"tokens": 64, "block_tokens": 16, "hits": (32, 0)}
    assert (_cost(field, 0, **asked), _cost(field, 1, **asked)) == (7 + 4, 8 + 4)
    assert field.choice(field.request(tokens=64, block_tokens=16, hits=(32, 0))) == 0


@pytest.mark.parametrize(
    ("parameters", "chosen"), [({}, 0), ({"credit": 0.0}, 1), ({"scale": 0.0}, 1)], ids=["default", "credit", "scale"]
)
def test_credit_and_scale_decide_between_a_warm_and_an_idle_worker(parameters: dict[str, float], chosen: int) -> None:
    # per_request_overrides_change_selection: 4 blocks, 2 of them at the warm worker, which holds 1 for decoding.
    field = Field(2, DynamoLinear(**parameters))
    field.place(0, field.request(tokens=1, block_tokens=1))
    assert field.choice(field.request(tokens=4, block_tokens=1, hits=(2, 0))) == chosen


def test_waiting_tokens_are_blocks_to_be_read() -> None:
    field = Field(2, DynamoLinear()).waits(0, 160)
    assert _cost(field, 0, tokens=64, block_tokens=16) == 10 + 4 + 4


def test_a_credit_is_never_more_than_there_is_to_read() -> None:
    assert _cost(Field(2, DynamoLinear(credit=5.0)), 0, tokens=64, block_tokens=16, hits=(48, 0)) == 4


def test_shared_blocks_are_held_once_until_the_last_request_ends() -> None:
    field = Field(2, DynamoLinear())
    first, second = (field.request(tokens=128, blocks=[1, 2]) for _ in range(2))
    field.place(0, first)
    field.place(0, second)
    assert _cost(field, 0, tokens=128, blocks=[1, 2]) == 2 + 2
    field.end(0, first)
    assert _cost(field, 0, tokens=128, blocks=[3, 4]) == 2 + 4
    field.strategy.on_vanished(second, field.targets[0])
    assert _cost(field, 0, tokens=128, blocks=[3, 4]) == 2 + 2


def test_chance_decides_between_equals() -> None:
    # test_default_selector_randomizes_zero_temperature_ties.
    field = Field(3, DynamoLinear())
    assert {field.choice() for _ in range(120)} == {0, 1, 2}


def test_with_a_temperature_cheaper_ones_are_drawn_more_often() -> None:
    field = Field(2, DynamoLinear(temperature=0.5)).waits(0, 6400)
    counts = collections.Counter(field.choice() for _ in range(2000))
    # Costs are divided by their range: e^0 to e^-2.
    assert counts[0] / counts[1] == pytest.approx(0.135, abs=0.03)


def test_a_new_process_holds_nothing() -> None:
    field = Field(2, DynamoLinear())
    request = field.request(tokens=128, blocks=[1, 2])
    field.place(0, request)
    field.strategy.on_reset(field.targets[0])
    field.end(0, request)
    assert _cost(field, 0, tokens=128, blocks=[1, 2]) == 2 + 2


@given(st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(1, 3), max_size=4), st.integers(0, 2)), max_size=12))
def test_what_is_taken_and_released_leaves_nothing(taken: list[tuple[int, list[int], int]]) -> None:
    active = ActiveBlocks()
    chained = [
        (slot, [hash(tuple(path[: depth + 1])) for depth in range(len(path))], more) for slot, path, more in taken
    ]
    for slot, blocks, more in chained:
        active.take(slot, blocks, more)
    for slot in range(3):
        mine = [(blocks, more) for at, blocks, more in chained if at == slot]
        assert active.size(slot) == len({one for blocks, _ in mine for one in blocks}) + sum(more for _, more in mine)
    for slot, blocks, more in chained:
        active.release(slot, blocks, more)
    assert [active.size(slot) for slot in range(3)] == [0, 0, 0]
    assert active.shared([one for _, blocks, _ in chained for one in blocks]) == {}
