"""What the engine puts out, as events."""

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.failure import Failure
from services.workers.vllm.answer import Answer, started
from tests.workers.vllm.fakes import Choice, Logprob, Output


class Numbers:
    """Token bytes that are the token's number."""

    def token_bytes(self, token_id: int) -> bytes:
        return b"%d" % token_id


def answer(choices: int = 1, top: int = 0) -> Answer:
    return Answer(choices=choices, top_logprobs=top, vocabulary=Numbers())


def test_a_whole_answer_is_deltas_and_a_finish_with_usage() -> None:
    fold = answer()
    first = list(fold.deltas(Output([Choice(text="Hel", token_ids=[7])], num_cached_tokens=2)))
    last = list(fold.deltas(Output([Choice(text="lo", token_ids=[8, 9], finish_reason="stop")], finished=True)))
    assert [event.delta for event in first + last] == [
        generation.Delta(text="Hel", token_ids=[7], tokens=1),
        generation.Delta(text="lo", token_ids=[8, 9], tokens=2),
    ]
    assert fold.finished().finished == generation.Finished(
        reasons=[generation.FINISH_REASON_STOP],
        usage=generation.Usage(input_tokens=3, output_tokens=3, cached_tokens=2),
    )
    assert started("m").started.provider_model == "m"


def test_choices_are_told_apart_and_end_each_in_its_own_way() -> None:
    fold = answer(choices=3)
    outputs = [
        Output([Choice(2, "c", [1], finish_reason="length"), Choice(0, "a", [2])], num_cached_tokens=0),
        Output([Choice(1, "b", [3], finish_reason="stop")], num_cached_tokens=3),
        Output([Choice(0, "", [4], finish_reason="stop")], num_cached_tokens=3, finished=True),
    ]
    events = [event.delta for output in outputs for event in fold.deltas(output)]
    assert [(delta.choice, delta.text) for delta in events] == [(2, "c"), (0, "a"), (1, "b"), (0, "")]
    finished = fold.finished().finished
    assert list(finished.reasons) == [
        generation.FINISH_REASON_STOP,
        generation.FINISH_REASON_STOP,
        generation.FINISH_REASON_LENGTH,
    ]
    assert (finished.usage.input_tokens, finished.usage.output_tokens, finished.usage.cached_tokens) == (3, 4, 0)


def test_an_output_with_nothing_new_is_no_event() -> None:
    fold = answer()
    assert list(fold.deltas(Output([Choice(finish_reason="length")], finished=True))) == []
    assert list(fold.finished().finished.reasons) == [generation.FINISH_REASON_LENGTH]


@pytest.mark.parametrize(
    ("reason", "failure"),
    [("abort", reasons.ERROR_REASON_WORKER_LOST), ("error", reasons.ERROR_REASON_ENGINE_FAILED)],
)
def test_an_answer_that_was_cut_is_a_failure(reason: str, failure: int) -> None:
    with pytest.raises(Failure) as caught:
        list(answer().deltas(Output([Choice(text="x", token_ids=[1], finish_reason=reason)], finished=True)))
    assert caught.value.reason == failure


def test_an_answer_without_an_end_is_never_finished() -> None:
    fold = answer(choices=2)
    list(fold.deltas(Output([Choice(0, "a", [1], finish_reason="stop")])))
    with pytest.raises(Failure) as caught:
        fold.finished()
    assert caught.value.reason == reasons.ERROR_REASON_ENGINE_FAILED


def test_logprobs_come_with_bytes_and_the_likeliest_first() -> None:
    position = {5: Logprob(-3.0, 3, "e"), 6: Logprob(-1.0, 1, "f"), 7: Logprob(-2.0, 2, "g")}
    (event,) = answer(top=2).deltas(Output([Choice(0, "e", [5], [position])]))
    (token,) = event.delta.logprobs
    assert (token.token, token.logprob, token.token_bytes) == ("e", -3.0, b"5")
    assert [(other.token, other.logprob, other.token_bytes) for other in token.top] == [
        ("f", -1.0, b"6"),
        ("g", -2.0, b"7"),
    ]


def test_impossible_tokens_get_a_number_that_json_can_write() -> None:
    (event,) = answer().deltas(Output([Choice(0, "e", [5], [{5: Logprob(float("-inf"), None, None)}])]))
    assert (event.delta.logprobs[0].logprob, event.delta.logprobs[0].token) == (-9999.0, "")
    assert list(event.delta.logprobs[0].top) == []


@given(st.lists(st.tuples(st.text(max_size=3), st.lists(st.integers(0, 9), max_size=3)), max_size=8))
def test_nothing_of_an_answer_is_lost_or_doubled(pieces: list[tuple[str, list[int]]]) -> None:
    fold = answer()
    outputs = [Output([Choice(0, text, ids)]) for text, ids in pieces] + [Output([Choice(0, finish_reason="stop")])]
    deltas = [event.delta for output in outputs for event in fold.deltas(output)]
    assert "".join(delta.text for delta in deltas) == "".join(text for text, _ in pieces)
    ids = [token for _, some in pieces for token in some]
    assert [token for delta in deltas for token in delta.token_ids] == ids
    assert fold.finished().finished.usage.output_tokens == len(ids) == sum(delta.tokens for delta in deltas)
