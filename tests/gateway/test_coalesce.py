"""Neighbouring pieces joined."""

import itertools

from hybridinference.inference.v1 import generation_pb2 as generation
from hypothesis import given

from services.gateway.coalesce import coalesce
from tests.fakes import delta, finished, started
from tests.gateway.test_fold import EVENTS, folded

Event = generation.GenerationEvent


@given(EVENTS)
def test_what_events_sum_up_to_is_unchanged(events: list[Event]) -> None:
    before = [event.SerializeToString(deterministic=True) for event in events]
    joined = list(coalesce(events))
    assert folded(joined) == folded(events)
    assert [event.SerializeToString(deterministic=True) for event in events] == before, "a received event was changed"


@given(EVENTS)
def test_no_two_neighbours_are_of_one_choice_and_nothing_else_moves(events: list[Event]) -> None:
    joined = list(coalesce(events))
    for one, other in itertools.pairwise(joined):
        deltas = one.HasField("delta") and other.HasField("delta")
        assert not (deltas and one.delta.choice == other.delta.choice)
    assert [event.WhichOneof("event") for event in joined if not event.HasField("delta")] == [
        event.WhichOneof("event") for event in events if not event.HasField("delta")
    ]


def test_a_batch_of_one_choice_is_three_events() -> None:
    joined = coalesce([started(), *(delta("x") for _ in range(100)), finished()])
    assert [event.WhichOneof("event") for event in joined] == ["started", "delta", "finished"]
    assert (joined[1].delta.text, joined[1].delta.tokens) == ("x" * 100, 100)
