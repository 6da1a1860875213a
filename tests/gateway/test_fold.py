"""Events folded into a whole generation."""

from hybridinference.inference.v1 import generation_pb2 as generation
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.fold import Fold
from tests.fakes import delta, finished, started
from tests.gateway.arbitrary import message

Event = generation.GenerationEvent
# Small enough that no sum leaves its field.
EVENTS = st.lists(message(Event, choice=st.integers(0, 2), tokens=st.integers(0, 9), index=st.integers(0, 2)))


def folded(events: list[Event]) -> bytes:
    """What events amount to."""
    fold = Fold()
    fold.take(events)
    return fold.whole().SerializeToString(deterministic=True)


def test_the_pieces_of_a_choice_become_one() -> None:
    fold = Fold()
    for event in (started(), delta("a"), delta("b"), finished(2)):
        fold.take([event])
    whole = fold.whole()
    assert [(choice.index, choice.content.text, choice.content.tokens) for choice in whole.choices] == [(0, "ab", 2)]
    assert whole.choices[0].finish_reason == generation.FINISH_REASON_STOP
    assert (whole.provider_model, whole.usage.output_tokens) == ("scripted", 2)


def test_choices_are_in_order_however_they_came_and_silent_ones_are_there() -> None:
    fold = Fold()
    fold.take(Event(delta=generation.Delta(choice=choice, text=text)) for choice, text in ((2, "c"), (0, "a")))
    ends = [generation.FINISH_REASON_STOP, generation.FINISH_REASON_BLOCKED, generation.FINISH_REASON_LENGTH]
    fold.take([Event(finished=generation.Finished(reasons=ends))])
    choices = fold.whole().choices
    assert [choice.content.text for choice in choices] == ["a", "", "c"]
    assert [choice.content.choice for choice in choices] == [0, 1, 2]
    assert [choice.finish_reason for choice in choices] == ends


def test_interleaved_tool_calls_come_apart() -> None:
    pieces = [
        generation.ToolCallDelta(index=1, id="two", name="g", signature=b"s"),
        generation.ToolCallDelta(index=0, id="one", name="f", arguments_json="{"),
        generation.ToolCallDelta(index=1, arguments_json='{"a":'),
        generation.ToolCallDelta(index=0, arguments_json="}"),
        generation.ToolCallDelta(index=1, arguments_json="1}"),
    ]
    fold = Fold()
    fold.take(Event(delta=generation.Delta(tool_calls=[piece])) for piece in pieces)
    fold.take([finished()])
    calls = fold.whole().choices[0].content.tool_calls
    assert [(call.index, call.id, call.name, call.arguments_json, call.signature) for call in calls] == [
        (0, "one", "f", "{}", b""),
        (1, "two", "g", '{"a":1}', b"s"),
    ]


@given(EVENTS, st.integers(0, 10))
def test_it_does_not_matter_how_events_are_cut_into_batches(events: list[Event], at: int) -> None:
    fold = Fold()
    fold.take(events[:at])
    fold.take(events[at:])
    assert fold.whole().SerializeToString(deterministic=True) == folded(events)
