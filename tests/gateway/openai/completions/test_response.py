"""Completions as OpenAI's bytes, read back by the official SDK."""

import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion

from services.chassis.failure import Failure
from services.gateway.fold import Fold
from services.gateway.openai.completions.response import CompletionChunks, completion

Event = generation.GenerationEvent
STOP, LENGTH = generation.FINISH_REASON_STOP, generation.FINISH_REASON_LENGTH
SAYS = {"completion_id": "cmpl-1", "created": 1764000000, "model": "m"}


def delta(text: str = "", **fields: Any) -> Event:
    return Event(delta=generation.Delta(text=text, **fields))


def finished(*ends: Any, **fields: Any) -> Event:
    usage = generation.Usage(input_tokens=5, output_tokens=3, cached_tokens=2)
    return Event(finished=generation.Finished(reasons=ends, usage=usage, **fields))


def token(data: bytes, logprob: float = -0.5, top: Sequence[tuple[bytes, float]] = ()) -> generation.TokenLogprob:
    likeliest = [generation.TopLogprob(token=one.decode("utf-8", "replace"), logprob=its, token_bytes=one)
                 for one, its in top]  # fmt: skip
    text = data.decode("utf-8", "replace")
    return generation.TokenLogprob(token=text, logprob=logprob, token_bytes=data, top=likeliest)


def writer(*, include_usage: bool = False, choices: int = 1, echoed: Sequence[str] = ("",)) -> CompletionChunks:
    return CompletionChunks(**SAYS, include_usage=include_usage, choices=choices, echoed=echoed)  # type: ignore[arg-type]


def chunks(data: bytes) -> list[Any]:
    """The chunks as JSON, which the SDK takes; `[DONE]` has to be where it is asked for."""
    lines = [line.removeprefix("data: ") for line in data.decode().split("\n\n")[:-1]]
    parsed = [json.loads(line) for line in lines if line != "[DONE]"]
    for chunk in parsed:  # the SDK reads those of a stream by the same type, whose reason cannot be null
        ended = {
            **chunk,
            "choices": [{**one, "finish_reason": one["finish_reason"] or "stop"} for one in chunk["choices"]],
        }
        Completion.model_validate({name: value for name, value in ended.items() if value is not None}, strict=True)
    return parsed


def whole(*generations: Sequence[Event], choices: int = 1, echoed: Sequence[str] = ("",)) -> dict[str, Any]:
    folded = []
    for events in generations:
        fold = Fold()
        fold.take(events)
        folded.append(fold.whole())
    data = completion(folded, **SAYS, choices=choices, echoed=echoed)  # type: ignore[arg-type]
    Completion.model_validate_json(data, strict=True)
    read: dict[str, Any] = json.loads(data)
    return read


def test_a_stream_has_text_and_the_reason_with_the_last_chunk() -> None:
    data = writer().write(0, [Event(started=generation.Started()), delta("Hel"), delta("lo"), finished(STOP)])
    assert data.endswith(b"data: [DONE]\n\n")
    first, second, last = chunks(data)
    assert first == {
        "id": "cmpl-1", "object": "text_completion", "created": 1764000000, "model": "m",
        "choices": [{"index": 0, "text": "Hel", "logprobs": None, "finish_reason": None}],
    }  # fmt: skip
    assert second["choices"] == [{"index": 0, "text": "lo", "logprobs": None, "finish_reason": None}]
    assert last["choices"] == [{"index": 0, "text": "", "logprobs": None, "finish_reason": "stop"}]


def test_a_piece_without_text_says_nothing() -> None:
    assert writer().write(0, [delta(token_ids=[7], tokens=1), delta(reasoning="hm")]) == b""


def test_choices_are_counted_through_all_prompts_and_done_comes_after_the_last() -> None:
    chunked = writer(choices=2, echoed=["", ""], include_usage=True)
    early = chunked.write(1, [delta("c"), delta("d", choice=1), finished(STOP, LENGTH)])
    late = chunked.write(0, [delta("b", choice=1), delta("a"), finished(STOP, STOP)])
    assert b"[DONE]" not in early
    assert late.endswith(b"data: [DONE]\n\n")
    *pieces, last = chunks(early + late)
    texts = dict.fromkeys(range(4), "")
    ends = {}
    for piece in pieces:
        assert piece["usage"] is None
        (choice,) = piece["choices"]
        texts[choice["index"]] += choice["text"]
        if choice["finish_reason"]:
            ends[choice["index"]] = choice["finish_reason"]
    assert texts == {0: "a", 1: "b", 2: "c", 3: "d"}
    assert ends == {0: "stop", 1: "stop", 2: "stop", 3: "length"}
    assert last["choices"] == []
    assert (last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]) == (10, 6)
    assert last["usage"]["total_tokens"] == 16


def test_an_echo_comes_before_the_first_piece_of_each_choice_even_where_there_is_none() -> None:
    data = writer(choices=2, echoed=["Say: "]).write(0, [delta("a"), delta("b"), finished(STOP, STOP)])
    shown = [(one["choices"][0]["index"], one["choices"][0]["text"]) for one in chunks(data)]
    assert shown == [(0, "Say: a"), (0, "b"), (0, ""), (1, "Say: ")]


def test_a_whole_answer_has_all_choices_in_order() -> None:
    answer = whole(
        [delta("a"), delta("b", choice=1), finished(STOP, LENGTH, fingerprint="fp")],
        [delta("d", choice=1), delta("c"), finished(STOP, STOP)],
        choices=2,
        echoed=["", "Say: "],
    )
    assert [(one["index"], one["text"], one["finish_reason"]) for one in answer["choices"]] == [
        (0, "a", "stop"), (1, "b", "length"), (2, "Say: c", "stop"), (3, "Say: d", "stop"),
    ]  # fmt: skip
    assert (answer["object"], answer["id"], answer["system_fingerprint"]) == ("text_completion", "cmpl-1", "fp")
    assert answer["usage"] == {
        "prompt_tokens": 10, "completion_tokens": 6, "total_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 0},
    }  # fmt: skip


def test_log_probabilities_are_lists_side_by_side_with_the_drawn_token_among_the_likeliest() -> None:
    drawn = token(b"x", -2.0, [(b"a", -0.25), (b"b", -1.0)])
    cold = token(b"y", float("-inf"))
    expected = {
        "tokens": ["x", "y"],
        "token_logprobs": [-2.0, -9999.0],
        "top_logprobs": [{"a": -0.25, "b": -1.0, "x": -2.0}, {"y": -9999.0}],
        "text_offset": [0, 1],
    }
    events = [delta("xy", logprobs=[drawn, cold]), finished(STOP)]
    assert chunks(writer().write(0, events))[0]["choices"][0]["logprobs"] == expected
    assert whole(events)["choices"][0]["logprobs"] == expected


def test_tokens_of_a_character_in_pieces_are_told_by_their_bytes_and_stand_at_its_beginning() -> None:
    tokens = [token(b"a"), token(b"\xf0\x9f"), token(b"\x9a\x80"), token(b"b")]
    (choice,) = whole([delta("a🚀b", logprobs=tokens), finished(STOP)])["choices"]
    assert choice["logprobs"]["tokens"] == ["a", "bytes:\\xf0\\x9f", "bytes:\\x9a\\x80", "b"]
    assert choice["logprobs"]["text_offset"] == [0, 1, 1, 2]


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
    st.lists(st.integers(0, 60), max_size=6),
    st.lists(st.integers(0, 6), max_size=4),
)
def test_offsets_are_places_in_the_text_however_it_is_cut_into_tokens_and_chunks(
    text: str, token_cuts: list[int], chunk_cuts: list[int]
) -> None:
    data = text.encode()
    bounds = sorted({0, len(data), *(cut for cut in token_cuts if cut < len(data))})
    tokens = [token(data[start:end]) for start, end in itertools.pairwise(bounds)]
    edges = sorted({0, len(tokens), *(cut for cut in chunk_cuts if cut < len(tokens))})
    events = [delta(logprobs=tokens[start:end]) for start, end in itertools.pairwise(edges)]
    told = [chunk["choices"][0]["logprobs"] for chunk in chunks(writer().write(0, events))]
    offsets = [offset for one in told for offset in one["text_offset"]]
    begins = [len(data[:start].decode("utf-8", "ignore")) for start in bounds[:-1]]
    assert offsets == begins
    assert whole([*events, finished(STOP)])["choices"][0]["logprobs"]["text_offset"] == offsets


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5), st.booleans())
def test_pieces_add_up_to_the_text_on_lines_that_no_client_breaks(pieces: list[str], echo: bool) -> None:
    echoed = "Say\u2028\x85" if echo else ""
    data = writer(echoed=[echoed]).write(0, [*map(delta, pieces), finished(STOP)])
    assert len(data.decode().splitlines()) == 2 * data.count(b"\n\n")
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks(data)) == echoed + "".join(pieces)


def test_an_end_that_does_not_say_how_is_no_end() -> None:
    for ending in (lambda: writer().write(0, [finished()]), lambda: completion(
        [inference.GenerateResponse()], **SAYS, choices=1, echoed=[""])):  # type: ignore[arg-type]  # fmt: skip
        with pytest.raises(Failure) as caught:
            ending()
        assert caught.value.reason == reasons.ERROR_REASON_TRUNCATED
