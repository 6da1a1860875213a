"""Chunks as events: whole, cut at every byte, split at every byte, and nonsense."""

import json
from typing import Any

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.failure import Failure
from services.workers.openai.decode import Answer
from services.workers.vendor.frames import LONGEST_BYTES, Frames
from tests.vendors.openai_server import chunk, sse, text, tool_calls, usage

Events = list[generation.GenerationEvent]

LOGPROBS = {
    "content": [
        {
            "token": "é",
            "logprob": -0.5,
            "bytes": [195, 169],
            "top_logprobs": [{"token": "e", "logprob": -1.0, "bytes": None}],
        }
    ]
}
STREAMS: dict[str, tuple[int, bytes]] = {
    "text": (1, text("Grüße ", "aus ", "東京", " 🚀")),
    "no words": (1, sse(chunk({"role": "assistant", "content": ""}), chunk(finish="stop"), usage(1, 0))),
    "tools": (1, tool_calls()),
    "reasoning": (1, sse(chunk({"reasoning": "hä"}), chunk({"content": "ja"}), chunk(finish="length"), usage(1, 2))),
    "refusal": (1, sse(chunk({"refusal": "nö"}), chunk(finish="content_filter"))),
    "logprobs": (1, sse(chunk({"content": "é"}, logprobs=LOGPROBS), chunk(finish="stop"), usage())),
    "choices": (
        2,
        sse(
            chunk({"content": "ä"}),
            chunk({"content": "ö"}, index=1),
            chunk(finish="stop"),
            chunk(index=1, finish="length"),
        ),
    ),
    "comments": (1, b": keep-alive\n\nevent: message\nid: 7\n" + text("ü").replace(b"\n", b"\r\n")),
}
EACH = pytest.mark.parametrize(("choices", "stream"), STREAMS.values(), ids=list(STREAMS))


def run(*parts: bytes, choices: int = 1) -> Events:
    """All events, the last one included."""
    frames, answer, events = Frames(), Answer(choices=choices, prompt_bytes=40), Events()
    for part in parts:
        for data in frames.feed(part):
            events += answer.events(data)
    return [*events, answer.finished()]


def content(events: Events) -> list[tuple[int, str]]:
    """Everything that was said, whichever way it was cut."""
    said: dict[tuple[int, Any], str] = {}
    for event in events:
        delta = event.delta
        pieces = [("text", delta.text), ("reasoning", delta.reasoning), ("refusal", delta.refusal)]
        pieces += [(f"{call.index}", call.id + call.name + call.arguments_json) for call in delta.tool_calls]
        for kind, piece in pieces:
            said[delta.choice, kind] = said.get((delta.choice, kind), "") + piece
    return sorted((choice, f"{kind}:{words}") for (choice, kind), words in said.items() if words)


def failed(*parts: bytes, choices: int = 1) -> Failure:
    with pytest.raises(Failure) as caught:
        run(*parts, choices=choices)
    return caught.value


@EACH
def test_a_stream_that_is_split_anywhere_says_the_same(choices: int, stream: bytes) -> None:
    whole = run(stream, choices=choices)
    for at in range(len(stream) + 1):
        assert run(stream[:at], stream[at:], choices=choices) == whole, at
    assert run(*(stream[at : at + 1] for at in range(len(stream))), choices=choices) == whole


@EACH
def test_a_stream_that_is_cut_anywhere_is_never_whole_and_never_garbled(choices: int, stream: bytes) -> None:
    whole = run(stream, choices=choices)
    outcomes = set()
    for at in range(len(stream)):
        frames, answer, events = Frames(), Answer(choices=choices, prompt_bytes=40), Events()
        for data in frames.feed(stream[:at]):
            events += answer.events(data)
        assert events == whole[: len(events)]
        outcomes.add(answer.whole)
        if answer.whole:
            assert content(events) == content(whole), at
            assert answer.finished().finished.reasons == whole[-1].finished.reasons
        else:
            with pytest.raises(Failure) as caught:
                answer.finished()
            assert caught.value.reason == reasons.ERROR_REASON_TRUNCATED
    assert False in outcomes


def test_tool_calls_in_pieces_that_take_turns() -> None:
    events = run(tool_calls())
    assert content(events) == [(0, '0:call_aweather{"city": "Köln"}'), (0, '1:call_bclock{"zone": "CET"}')]
    pieces = [call for event in events for call in event.delta.tool_calls]
    assert [call.id for call in pieces if call.id] == ["call_a", "call_b"]
    assert events[-1].finished.reasons == [generation.FINISH_REASON_TOOL_CALLS]


def test_calls_without_numbers_and_with_repeated_ids_are_told_apart() -> None:
    def piece(identifier: str, arguments: str) -> dict[str, Any]:
        return {"id": identifier, "type": "function", "function": {"name": "f", "arguments": arguments}}

    stream = sse(*(chunk({"tool_calls": [piece(*one)]}) for one in (("a", "{"), ("a", "}"), ("b", "{}"))))
    events = run(stream, sse(chunk(finish="function_call")))
    assert content(events) == [(0, "0:af{}"), (0, "1:bf{}")]
    older = sse(chunk({"function_call": {"name": "f", "arguments": "{}"}}), chunk(finish="function_call"))
    assert content(run(older)) == [(0, "0:f{}")]


def test_usage_comes_after_the_reason_with_its_parts() -> None:
    counted = run(sse(chunk({"content": "a"}), chunk(finish="stop"), usage(9, 5, cached=4, reasoning=2)))[-1]
    assert counted.finished.usage == generation.Usage(
        input_tokens=9, output_tokens=5, cached_tokens=4, reasoning_tokens=2
    )
    assert counted.finished.fingerprint == "fp_1"


@pytest.mark.parametrize(
    "given", [None, {}, {"prompt_tokens": -1, "completion_tokens": 1}, {"prompt_tokens": 1 << 40}, 7]
)
def test_usage_that_is_missing_is_estimated_and_says_so(given: Any) -> None:
    last = {**usage(), "usage": given}
    counted = run(sse(chunk({"content": "a"}), chunk({"content": "b"}), chunk(finish="stop"), last))[-1].finished.usage
    assert counted == generation.Usage(input_tokens=10, output_tokens=2, estimated=True)


def test_log_probabilities_survive() -> None:
    (found,) = run(STREAMS["logprobs"][1])[0].delta.logprobs
    assert (found.token, found.logprob, found.token_bytes) == ("é", -0.5, "é".encode())
    assert (found.top[0].token, found.top[0].logprob, found.top[0].token_bytes) == ("e", -1.0, b"e")
    nan = sse(
        chunk({"content": "a"}, logprobs={"content": [{"token": "a", "logprob": float("nan")}]}), chunk(finish="stop")
    )
    assert run(nan)[0].delta.logprobs[0].logprob == -9999.0


def test_thinking_under_either_name_or_both_is_told_once() -> None:
    for delta in ({"reasoning": "hm"}, {"reasoning_content": "hm"}, {"reasoning": "hm", "reasoning_content": "hm"}):
        assert content(run(sse(chunk(delta), chunk(finish="stop")))) == [(0, "reasoning:hm")]


def test_half_characters_are_joined_or_replaced() -> None:
    def escaped(*pieces: str) -> bytes:
        chunks = [json.dumps(chunk({"content": piece})) for piece in pieces] + [json.dumps(chunk(finish="stop"))]
        return "".join(f"data: {one}\n\n" for one in chunks).encode()

    assert content(run(escaped("a\ud83d", "\ude80b"))) == [(0, "text:a🚀b")]
    assert content(run(escaped("a\ud83d", "b"))) == [(0, "text:a\ufffdb")]
    assert content(run(escaped("\ude80", "b\ud83d"))) == [(0, "text:\ufffdb\ufffd")]


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"data: {\n\n", "PROVIDER_MALFORMED"),
        (b"data: 7\n\n", "PROVIDER_MALFORMED"),
        (b'data: {"choices": 7}\n\n', "PROVIDER_MALFORMED"),
        (b'data: {"choices": [7]}\n\n', "PROVIDER_MALFORMED"),
        (b"data: \xff\xfe\n\n", "PROVIDER_MALFORMED"),
        (sse(chunk({"content": 7})), "PROVIDER_MALFORMED"),
        (sse(chunk({"content": "a"}, index=1)), "PROVIDER_MALFORMED"),
        (sse(chunk({"tool_calls": [7]})), "PROVIDER_MALFORMED"),
        (sse(chunk({"tool_calls": [{"index": 10**9}]})), "PROVIDER_MALFORMED"),
        (sse(chunk({"tool_calls": [{"index": -1, "id": "a", "function": {"name": "f"}}]})), "PROVIDER_MALFORMED"),
        (sse(chunk({"content": "a"}, logprobs={"content": [7]})), "PROVIDER_MALFORMED"),
        (sse(chunk(finish="bored")), "PROVIDER_MALFORMED"),
        (sse(chunk(finish="abort")), "PROVIDER_UNAVAILABLE"),
        (sse(chunk({"content": "a"})), "TRUNCATED"),
        (sse(), "TRUNCATED"),
        (b"", "TRUNCATED"),
        (b'data: {"error": {"message": "x", "code": 429}}\n\n', "PROVIDER_RATE_LIMITED"),
        (b'data: {"error": {"message": "x", "type": "invalid_request_error"}}\n\n', "PROVIDER_REJECTED"),
        (b'data: {"error": "x"}\n\n', "PROVIDER_UNAVAILABLE"),
        (b'data: {"object": "error", "message": "x", "code": 503}\n\n', "PROVIDER_OVERLOADED"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_no_answer_fails_for_its_reason(stream: bytes, reason: str) -> None:
    assert failed(stream).reason_name == reason


def test_a_line_and_an_event_without_an_end_are_not_kept() -> None:
    for stream in (b"data: " + b"a" * LONGEST_BYTES, b"data: a\n" * LONGEST_BYTES):
        parts = [stream[at : at + (1 << 16)] for at in range(0, len(stream), 1 << 16)]
        assert failed(*parts).reason_name == "PROVIDER_MALFORMED"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                sorted(
                    {
                        "choices",
                        "delta",
                        "content",
                        "index",
                        "tool_calls",
                        "function",
                        "arguments",
                        "id",
                        "name",
                        "usage",
                        "error",
                        "logprobs",
                        "finish_reason",
                        "reasoning",
                        "message",
                        "code",
                        "prompt_tokens",
                        "extra_content",
                        "google",
                    }
                )
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=3), JSON, st.integers(0, 30))
def test_no_json_raises_anything_but_a_failure(pieces: list[Any], delta: Any, at: int) -> None:
    chunks = [*pieces, {"choices": [{"index": 0, "delta": delta, "finish_reason": None, "logprobs": delta}]}]
    data = "".join(f"data: {json.dumps(one)}\n\n" for one in chunks).encode()
    frames, answer = Frames(), Answer(choices=1, prompt_bytes=1)
    try:
        for found in (*frames.feed(data[:at]), *frames.feed(data[at:])):
            for event in answer.events(found):
                event.SerializeToString()
    except Failure:
        pass


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_failure(data: bytes) -> None:
    answer = Answer(choices=1, prompt_bytes=1)
    try:
        for found in Frames().feed(data.replace(b"d", b"data: ") + b"\n\n"):
            answer.events(found)
    except Failure:
        pass


def _calls(*pieces: dict[str, Any]) -> list[tuple[int, str, str, str]]:
    """Index, id, name and arguments of the calls that come of these pieces."""
    whole: dict[int, list[str]] = {}
    for event in run(sse(*(chunk({"tool_calls": [piece]}) for piece in pieces), chunk(finish="tool_calls"))):
        for call in event.delta.tool_calls:
            kept = whole.setdefault(call.index, ["", "", ""])
            for at, said in enumerate((call.id, call.name, call.arguments_json)):
                kept[at] += said
    return [(index, *kept) for index, kept in whole.items()]  # type: ignore[misc]


def _piece(number: int, identifier: str, name: str, arguments: str) -> dict[str, Any]:
    return {"index": number, "id": identifier, "function": {"name": name, "arguments": arguments}}


def test_calls_that_a_server_gives_the_same_number_are_told_apart() -> None:
    pieces = [
        _piece(0, "a", "f", "{}"),
        _piece(0, "b", "f", '{"x"'),
        _piece(0, "", "", ": 1}"),
        _piece(0, "c", "g", ""),
    ]
    found = [(0, "a", "f", "{}"), (1, "b", "f", '{"x": 1}'), (2, "c", "g", "")]
    assert _calls(*pieces) == found
    assert _calls(*pieces, _piece(1, "d", "f", "{}")) == [*found, (3, "d", "f", "{}")]


def test_a_call_that_gets_a_new_id_with_every_piece_is_still_one() -> None:
    pieces = [_piece(0, f"random-{at}", "f", part) for at, part in enumerate(('{"x"', ": ", "1}"))]
    assert _calls(*pieces) == [(0, "random-0", "f", '{"x": 1}')]
