"""What a request may cost, over all its attempts and over time that has a price."""

import pytest
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.deadline import to_duration
from services.router.decider import Refused
from tests.router.scene import CHAT, LOST, Scene, mesh_config

_TOKENS = {"output": 1.0}  # 1000 nano-USD for a token of the answer


def _ask(made: Scene, *, most: int | None = None, seconds: float | None = None) -> placement.Placement | Refused:
    ask = placement.PlacementAsk(
        generation_id="g",
        model="m",
        capabilities=CHAT,
        max_output_tokens=1000,
        max_cost_nano_usd=most,
        time_left=None if seconds is None else to_duration(seconds),
    )
    answer = made.decider.on_ask(made.stream, ask, made.now)
    assert not isinstance(answer, placement.Waiting)
    return answer


def _placed(made: Scene, *, most: int | None = None, seconds: float | None = None) -> placement.Placement:
    answer = _ask(made, most=most, seconds=seconds)
    assert isinstance(answer, placement.Placement), answer
    return answer


@pytest.mark.parametrize(("spent", "goes_on"), [(0, True), (500_000, True), (500_001, False), (2_000_000, False)])
def test_a_retry_costs_no_more_than_what_is_left(spent: int, goes_on: bool) -> None:
    made = Scene(mesh_config(workers=3, price=_TOKENS))
    again = made.end(_placed(made, most=1_500_000), LOST, spent=spent)
    assert isinstance(again, placement.Placement) is goes_on
    if isinstance(again, Refused):
        assert "went away" in str(again.cause), "the caller hears why the attempt failed"


def test_what_is_free_is_still_tried_when_nothing_is_left() -> None:
    made = Scene(mesh_config(workers=2))
    assert isinstance(made.end(_placed(made, most=0), LOST, spent=9), placement.Placement)


def test_what_was_spent_stays_spent_under_another_configuration() -> None:
    made = Scene(mesh_config(workers=3, price=_TOKENS))
    again = made.end(_placed(made, most=1_900_000), LOST, spent=900_000)
    assert isinstance(again, placement.Placement)
    made.decider.reconfigure(mesh_config(workers=3, price=_TOKENS, slo=60.0), made.now)
    assert isinstance(made.end(again, LOST, spent=900_001), Refused)


def test_time_counts_for_as_long_as_there_is() -> None:
    made = Scene(mesh_config(workers=1, price={"second": 0.001}))
    assert _placed(made, seconds=2.5).max_cost_nano_usd == 2_500_000
    # Where the caller sets none, it is the longest request that there may be.
    assert _placed(made).max_cost_nano_usd == 600 * 1_000_000
    assert _placed(made, most=2_500_000, seconds=2.5)
    assert isinstance(_ask(made, most=2_499_999, seconds=2.5), Refused)


def test_a_later_attempt_has_less_time_to_cost_anything() -> None:
    made = Scene(mesh_config(workers=2, price={"second": 0.001}))
    again = made.end(_placed(made, most=2_500_000, seconds=2.5), LOST, spent=1_000_000, time_left=1.5)
    assert isinstance(again, placement.Placement)
    assert again.max_cost_nano_usd == 1_500_000
