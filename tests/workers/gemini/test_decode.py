"""Responses as events: whole, cut at every byte, split at every byte, and nonsense."""

import base64
import hashlib
import itertools
import json
from typing import Any

import pytest
from google.genai import types
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.failure import Failure
from services.workers.gemini.decode import Answer
from services.workers.gemini.signatures import Memory, Signatures, Signed
from services.workers.vendor.frames import Frames
from tests.vendors.gemini_server import call, piece, signature, sse, text, thought, tool_calls, usage

Events = list[generation.GenerationEvent]

LOGPROBS = {
    "chosenCandidates": [{"token": "é", "tokenId": 7, "logProbability": -0.5}, {"token": "!"}],
    "topCandidates": [{"candidates": [{"token": "e", "tokenId": 8, "logProbability": -1.0}]}],
}
STREAMS: dict[str, tuple[int, bytes]] = {
    "text": (1, text("Grüße ", "aus ", "東京", " 🚀")),
    "no words": (1, sse(usage(piece(finish="STOP")))),
    "tools": (1, tool_calls()),
    "thinking": (1, sse(piece(thought("hä")), piece({"text": "ja"}), piece(finish="MAX_TOKENS"))),
    "blocked": (1, sse(piece({"text": "nö"}), piece(finish="SAFETY"))),
    "logprobs": (1, sse(piece({"text": "é!"}, logprobsResult=LOGPROBS), piece(finish="STOP"))),
    "choices": (
        2,
        sse(
            piece({"text": "ä"}),
            piece({"text": "ö"}, index=1),
            piece(finish="STOP"),
            piece(index=1, finish="MAX_TOKENS"),
        ),
    ),
    "comments": (1, b": keep-alive\n\nevent: message\nid: 7\n" + text("ü").replace(b"\r\n", b"\n")),
}
EACH = pytest.mark.parametrize(("choices", "stream"), STREAMS.values(), ids=list(STREAMS))


def memory(kept: Signatures | None = None) -> Memory:
    return Memory(kept or Signatures(), "tenant", "model")


def answer(choices: int = 1, **more: Any) -> Answer:
    ids = itertools.count()
    given = {"memory": memory(), **more}
    return Answer(choices=choices, prompt_bytes=40, new_id=lambda: f"call_{next(ids)}", **given)


def run(*parts: bytes, choices: int = 1, **more: Any) -> Events:
    """All events, the last one included."""
    frames, heard, events = Frames(), answer(choices, **more), Events()
    for part in parts:
        for data in frames.feed(part):
            events += heard.events(data)
    return [*events, heard.finished()]


def content(events: Events) -> list[tuple[int, str]]:
    """Everything that was said, whichever way it was cut."""
    said: dict[tuple[int, Any], str] = {}
    for event in events:
        delta = event.delta
        pieces = [("text", delta.text), ("reasoning", delta.reasoning)]
        pieces += [(f"{one.index}", one.id + one.name + one.arguments_json) for one in delta.tool_calls]
        for kind, words in pieces:
            said[delta.choice, kind] = said.get((delta.choice, kind), "") + words
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
        frames, heard, events = Frames(), answer(choices), Events()
        for data in frames.feed(stream[:at]):
            events += heard.events(data)
        assert events == whole[: len(events)]
        outcomes.add(heard.whole)
        if heard.whole:
            assert content(events) == content(whole), at
        else:
            with pytest.raises(Failure) as caught:
                heard.finished()
            assert caught.value.reason == reasons.ERROR_REASON_TRUNCATED
    assert False in outcomes


def test_parallel_calls_count_up_get_ids_and_their_signature() -> None:
    events = run(tool_calls())
    first, second = (one for event in events for one in event.delta.tool_calls)
    assert (first.index, first.id, first.name, first.arguments_json) == (0, "call_0", "weather", '{"city":"Köln"}')
    assert (second.index, second.id, second.name, second.arguments_json) == (1, "call_1", "clock", '{"zone":"CET"}')
    assert (first.signature, second.signature) == (base64.b64decode(signature("weather")), b"")
    assert events[-1].finished.reasons == [generation.FINISH_REASON_TOOL_CALLS]


def test_an_id_that_the_api_gives_is_kept_and_no_arguments_are_an_empty_object() -> None:
    part = {"functionCall": {"name": "f", "id": "given"}}
    (one,) = run(sse(piece(part, finish="STOP")))[0].delta.tool_calls
    assert (one.id, one.arguments_json) == ("given", "{}")


def test_a_caller_that_takes_one_call_at_a_time_gets_the_first() -> None:
    events = run(tool_calls(), one_call=True)
    assert content(events) == [(0, '0:call_0weather{"city":"Köln"}')]
    assert events[-1].finished.reasons == [generation.FINISH_REASON_TOOL_CALLS]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("MAX_TOKENS", "LENGTH"), ("SAFETY", "BLOCKED"), ("STOP", "TOOL_CALLS")],
)
def test_a_call_that_was_cut_short_or_blocked_is_not_waited_for(reason: str, expected: str) -> None:
    events = run(sse(piece(call("f")), piece(finish=reason)))
    assert events[-1].finished.reasons == [generation.FinishReason.Value(f"FINISH_REASON_{expected}")]


def test_a_reason_that_is_not_set_or_comes_with_each_piece_ends_nothing_early() -> None:
    unset = piece({"text": "a"}, finish="FINISH_REASON_UNSPECIFIED")
    assert failed(sse(unset)).reason_name == "TRUNCATED"
    pieces = [piece({"text": "a"}, finish="STOP"), piece({"text": "b"}, finish="STOP"), piece(call("f"))]
    events = run(sse(unset, *pieces))
    assert content(events) == [(0, "0:call_0f{}"), (0, "text:aab")]
    assert events[-1].finished.reasons == [generation.FINISH_REASON_TOOL_CALLS]


FAILURES = (
    *("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE"),
    *("MALFORMED_RESPONSE", "NO_IMAGE", "OTHER", "PUP_LIMITED_DISABLED"),
)


@pytest.mark.parametrize("reason", [one.value for one in types.FinishReason if "UNSPECIFIED" not in one.value])
def test_every_reason_that_the_sdk_knows_has_a_meaning(reason: str) -> None:
    stream = sse(piece({"text": "a"}), piece(finish=reason))
    if reason in FAILURES:
        assert "unknown" not in failed(stream).message
    else:
        assert generation.FINISH_REASON_UNSPECIFIED not in run(stream)[-1].finished.reasons


@pytest.mark.parametrize("reason", [one.value for one in types.BlockedReason])
def test_a_blocked_prompt_is_refused_by_policy(reason: str) -> None:
    failure = failed(sse({"promptFeedback": {"blockReason": reason}, "usageMetadata": {"promptTokenCount": 9}}))
    assert failure.reason_name == "CONTENT_POLICY"


def test_usage_is_the_last_that_was_told_with_thoughts_as_part_of_the_answer() -> None:
    last = usage(piece(finish="STOP"), 9, 5, thoughts=4, cached=2)
    last["usageMetadata"]["toolUsePromptTokenCount"] = 1
    assert run(sse(usage(piece({"text": "a"}), 9, 1), last))[-1].finished.usage == generation.Usage(
        input_tokens=10, output_tokens=9, cached_tokens=2, reasoning_tokens=4
    )


@pytest.mark.parametrize("told", [None, {}, {"promptTokenCount": -1}, {"promptTokenCount": 1 << 40}, 7])
def test_usage_that_is_missing_is_estimated_and_says_so(told: Any) -> None:
    first, last = ({**piece({"text": "a"}, finish=reason), "usageMetadata": told} for reason in (None, "STOP"))
    counted = run(sse(first, last))[-1].finished.usage
    assert counted == generation.Usage(input_tokens=10, output_tokens=2, estimated=True)


def test_log_probabilities_survive() -> None:
    first, second = run(STREAMS["logprobs"][1])[0].delta.logprobs
    assert (first.token, first.logprob, first.token_bytes) == ("é", -0.5, "é".encode())
    assert (first.top[0].token, first.top[0].logprob) == ("e", -1.0)
    assert (second.token, second.logprob, list(second.top)) == ("!", 0.0, [])


def escaped(*pieces: str, kind: str = "text") -> bytes:
    parts = [thought(one) if kind == "thought" else {"text": one} for one in pieces]
    responses = [json.dumps(piece(part)) for part in parts] + [json.dumps(piece(finish="STOP"))]
    return "".join(f"data: {one}\n\n" for one in responses).encode()


def test_half_characters_are_joined_or_replaced() -> None:
    assert content(run(escaped("a\ud83d", "\ude80b"))) == [(0, "text:a🚀b")]
    assert content(run(escaped("a\ud83d", "b"))) == [(0, "text:a\ufffdb")]
    assert content(run(escaped("\ude80", "b\ud83d"))) == [(0, "text:\ufffdb\ufffd")]
    assert content(run(escaped("a\ud83d", "\ude80", kind="thought"))) == [(0, "reasoning:a🚀")]


def test_arguments_that_json_can_hardly_hold_stay_json() -> None:
    stream = json.dumps(piece(call("f", {"a": 1 << 70, "b": "\ud83d"}), finish="STOP"))
    (one,) = run(f"data: {stream}\n\n".encode())[0].delta.tool_calls
    assert json.loads(one.arguments_json) == {"a": 1 << 70, "b": "\ud83d"}


def kept(*responses: dict[str, Any]) -> dict[bytes, Signed]:
    signatures = Signatures()
    run(sse(*responses), memory=memory(signatures))
    return {key[2]: signed for key, signed in signatures._kept.items() if isinstance(key[2], bytes)}


def test_the_signature_of_a_text_is_kept_with_its_place_once_the_text_is_whole() -> None:
    digest, given = hashlib.sha256(b"abc").digest(), base64.b64decode(signature("t"))
    signed = {"thoughtSignature": signature("t")}
    a, b = piece({"text": "a"}), piece({"text": "bc"})
    assert kept(a, b, piece({"text": "", **signed}, finish="STOP")) == {digest: Signed(given, 0)}
    assert kept(a, piece({"text": "bc", **signed}, finish="STOP")) == {digest: Signed(given, 2)}
    assert kept(a, piece({"text": "b", **signed}), piece({"text": "c"}, finish="STOP")) == {digest: Signed(given, 2)}
    assert kept(a, b, piece(signed, finish="STOP")) == {digest: Signed(given, 0)}
    assert kept(a, b, piece(finish="STOP")) == {}
    assert kept(piece(call("f"), {"text": "", **signed}, finish="STOP")) == {}, "no words are those of any other answer"


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"data: {\n\n", "PROVIDER_MALFORMED"),
        (b"data: 7\n\n", "PROVIDER_MALFORMED"),
        (b"data: \xff\xfe\n\n", "PROVIDER_MALFORMED"),
        (b'data: {"candidates": 7}\n\n', "PROVIDER_MALFORMED"),
        (b'data: {"candidates": [7]}\n\n', "PROVIDER_MALFORMED"),
        (b'data: {"candidates": [{"content": 7}]}\n\n', "PROVIDER_MALFORMED"),
        (b'data: {"candidates": [{"content": {"parts": [7]}}]}\n\n', "PROVIDER_MALFORMED"),
        (sse(piece({"text": 7})), "PROVIDER_MALFORMED"),
        (sse(piece({"text": "a"}, index=1)), "PROVIDER_MALFORMED"),
        (sse(piece({"text": "a", "thoughtSignature": "é"})), "PROVIDER_MALFORMED"),
        (sse(piece({"functionCall": {"args": {}}})), "PROVIDER_MALFORMED"),
        (sse(piece({"functionCall": {"name": "f", "args": [1]}})), "PROVIDER_MALFORMED"),
        (sse(piece({"functionCall": {"name": "f", "willContinue": True}})), "PROVIDER_MALFORMED"),
        (sse(piece(*[call("f")] * 1025)), "PROVIDER_MALFORMED"),
        (sse(piece(call("f"))).replace(b"{}", b'{"a":' + b"[" * 1000 + b"]" * 1000 + b"}"), "PROVIDER_MALFORMED"),
        (sse(piece({"inlineData": {"mimeType": "image/png", "data": ""}})), "PROVIDER_MALFORMED"),
        (sse(piece({"executableCode": {"code": "1"}})), "PROVIDER_MALFORMED"),
        (sse(piece({"text": "a"}, logprobsResult={"chosenCandidates": [7]})), "PROVIDER_MALFORMED"),
        (sse(piece(finish="BORED")), "PROVIDER_MALFORMED"),
        (sse(piece(finish="MALFORMED_FUNCTION_CALL")), "PROVIDER_MALFORMED"),
        (sse(piece(finish="MISSING_THOUGHT_SIGNATURE")), "PROVIDER_MALFORMED"),
        (sse(piece(finish="OTHER")), "PROVIDER_UNAVAILABLE"),
        (sse(piece(finish="PUP_LIMITED_DISABLED")), "PROVIDER_CREDENTIAL"),
        (sse(piece({"text": "a"})), "TRUNCATED"),
        (sse({"usageMetadata": {"promptTokenCount": 1}}), "TRUNCATED"),
        (b"", "TRUNCATED"),
        (b'data: {"error": {"message": "x", "code": 429}}\n\n', "PROVIDER_RATE_LIMITED"),
        (b'data: {"error": {"message": "x", "status": "INVALID_ARGUMENT"}}\n\n', "PROVIDER_REJECTED"),
        (b'data: {"error": "x"}\n\n', "PROVIDER_UNAVAILABLE"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_no_answer_fails_for_its_reason(stream: bytes, reason: str) -> None:
    assert failed(stream).reason_name == reason


def test_parts_that_say_something_about_others_are_no_content() -> None:
    metadata = {"text": "a", "partMetadata": {"a": 1}, "mediaProcessing": {}}
    assert content(run(sse(piece(metadata, {"partMetadata": {}}, {}, finish="STOP")))) == [(0, "text:a")]


NAMES = (
    *("candidates", "content", "parts", "text", "thought", "thoughtSignature", "functionCall", "name", "args", "id"),
    *("index", "finishReason", "usageMetadata", "promptTokenCount", "error", "code", "message", "status", "details"),
    *("logprobsResult", "chosenCandidates", "topCandidates", "token", "logProbability", "promptFeedback", "@type"),
    *("blockReason", "modelVersion", "partialArgs", "candidatesTokenCount", "retryDelay", "violations", "quotaId"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=3), JSON, JSON, st.integers(0, 30))
def test_no_json_raises_anything_but_a_failure(pieces: list[Any], part: Any, more: Any, at: int) -> None:
    candidate = {"content": {"parts": [part, {"functionCall": more}]}, "logprobsResult": more, "finishReason": part}
    responses = [*pieces, {"error": more}, {"candidates": [candidate], "usageMetadata": more}]
    for response in responses:
        data = f"data: {json.dumps(response)}\n\n".encode()
        frames, heard = Frames(), answer()
        try:
            for found in (*frames.feed(data[:at]), *frames.feed(data[at:])):
                for event in heard.events(found):
                    event.SerializeToString()
            heard.finished().SerializeToString()
        except Failure:
            pass


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_failure(data: bytes) -> None:
    heard = answer()
    try:
        for found in Frames().feed(data.replace(b"d", b"data: ") + b"\n\n"):
            heard.events(found)
    except Failure:
        pass
