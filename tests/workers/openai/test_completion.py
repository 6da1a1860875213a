"""The completion of a prompt: the request's body, and the older API's chunks as events, cut and split anywhere."""

import json
from typing import Any

import orjson
import pytest
from google.protobuf import json_format
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from services.gateway.openai.completions.request import parse_completion
from services.workers.openai import encode
from services.workers.openai.completion import Answer
from services.workers.vendor.frames import Frames
from tests.vendors.openai_server import sse, text_chunk, usage

Events = list[generation.GenerationEvent]
ALWAYS = {"stream": True, "stream_options": {"include_usage": True}}
SCHEMA = {"name": "s", "schema": {"type": "object", "maximum": 9007199254740993}, "strict": True}
WIRE: list[dict[str, Any]] = [
    {"max_tokens": 9},
    {"prompt": [5, 7, 0]},
    {"temperature": 0.5, "top_p": 0.9, "seed": -3, "frequency_penalty": 1.0, "presence_penalty": -1.0, "top_k": 4},
    {"stop": ["a", "b"], "logit_bias": {"1": -100.0, "12": 5.0}, "n": 2, "logprobs": 3, "user": "u"},
    {"logprobs": 0},
    {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
    {"suffix": "end", "min_p": 0.1},
]


def body(asked: generation.GenerationSpec) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(orjson.dumps(encode.body(asked)))  # orjson rounds large integers
    return read


@pytest.mark.parametrize("asked", WIRE, ids=",".join)
def test_what_a_client_asks_of_the_mesh_is_what_the_server_is_asked(asked: dict[str, Any]) -> None:
    request = {"model": "m", "prompt": "hi", "max_tokens": 16, **asked}
    (spec,) = parse_completion(json.dumps(request).encode()).specs
    assert body(spec) == request | ALWAYS


def test_an_answer_as_long_as_the_model_allows_cannot_be_asked_for() -> None:
    with pytest.raises(Failure) as caught:
        encode.body(generation.GenerationSpec(model="m", prompt={"text": "hi"}))
    assert caught.value.reason == reasons.ERROR_REASON_SPEC_INVALID
    assert caught.value.metadata["field"] == "max_output_tokens"


@pytest.mark.parametrize("option", ["prompt", "messages", "best_of", "max_tokens", "prompt_embeds"])
def test_no_option_gets_past_the_spec(option: str) -> None:
    given = {"model": "m", "prompt": {"text": "hi"}, "maxOutputTokens": 1, "providerOptionsJson": f'{{"{option}": 1}}'}
    with pytest.raises(Failure) as caught:
        encode.body(json_format.ParseDict(given, generation.GenerationSpec()))
    assert caught.value.metadata["field"] == f"provider_options_json.{option}"


LOGPROBS = {
    "tokens": ["é", "bytes:\\xf0\\x9f", "x"],
    "token_logprobs": [-0.5, None, 0.25],
    "top_logprobs": [{"e": -1.0, "é": -0.5}, None, {"bytes:\\x9a": float("nan")}],
    "text_offset": [0, 1, 1],
}
STREAMS: dict[str, tuple[int, bytes]] = {
    "text": (1, sse(text_chunk("Grüße "), text_chunk("東京 🚀", finish="stop"), usage(7, 2))),
    "end apart": (1, sse(text_chunk("ä"), text_chunk(finish="length"), usage(1, 1))),
    "logprobs": (1, sse(text_chunk("é", logprobs=LOGPROBS, finish="stop"), usage())),
    "choices": (2, sse(text_chunk("ä"), text_chunk("ö", index=1, finish="length"), text_chunk(finish="stop"), usage())),
}
EACH = pytest.mark.parametrize(("choices", "stream"), STREAMS.values(), ids=list(STREAMS))


def run(*parts: bytes, choices: int = 1) -> Events:
    """All events, the last one included."""
    frames, answer, events = Frames(), Answer(choices=choices, prompt_bytes=40), Events()
    for part in parts:
        for data in frames.feed(part):
            events += answer.events(data)
    return [*events, answer.finished()]


@EACH
def test_a_stream_that_is_split_anywhere_says_the_same(choices: int, stream: bytes) -> None:
    whole = run(stream, choices=choices)
    for at in range(len(stream) + 1):
        assert run(stream[:at], stream[at:], choices=choices) == whole, at


@EACH
def test_a_stream_that_is_cut_before_its_end_is_never_whole(choices: int, stream: bytes) -> None:
    ends = stream.rindex(b"finish_reason", 0, stream.rindex(b'"choices": []'))
    for at in range(ends):
        with pytest.raises(Failure) as caught:
            run(stream[:at], choices=choices)
        assert caught.value.reason == reasons.ERROR_REASON_TRUNCATED


def test_text_choices_and_usage_are_those_of_the_server() -> None:
    events = run(STREAMS["choices"][1], choices=2)
    assert [(event.delta.choice, event.delta.text) for event in events[:-1]] == [(0, "ä"), (1, "ö")]
    finished = events[-1].finished
    assert list(finished.reasons) == [generation.FINISH_REASON_STOP, generation.FINISH_REASON_LENGTH]
    assert (finished.usage, finished.fingerprint) == (generation.Usage(input_tokens=7, output_tokens=3), "fp_1")


def test_log_probabilities_have_the_bytes_of_their_tokens_and_the_likeliest_first() -> None:
    first, second, third = run(STREAMS["logprobs"][1])[0].delta.logprobs
    assert (first.token, first.logprob, first.token_bytes) == ("é", -0.5, "é".encode())
    assert [(top.token, top.logprob) for top in first.top] == [("é", -0.5), ("e", -1.0)]
    assert (second.logprob, second.token_bytes, len(second.top)) == (-9999.0, b"\xf0\x9f", 0)
    assert (third.logprob, third.top[0].logprob, third.top[0].token_bytes) == (0.0, -9999.0, b"\x9a")


@pytest.mark.parametrize(
    "chunk",
    [
        text_chunk(text=7),  # type: ignore[arg-type]
        text_chunk("a", index=1),
        text_chunk("a", finish="whatever"),
        text_chunk("a", logprobs={"tokens": ["a"]}),
        text_chunk("a", logprobs={"tokens": ["a"], "token_logprobs": [], "top_logprobs": None}),
        text_chunk("a", logprobs={"tokens": [7], "token_logprobs": [0]}),
        text_chunk("a", logprobs={"tokens": ["a"], "token_logprobs": [0], "top_logprobs": [["a"]]}),
    ],
)
def test_what_makes_no_sense_is_malformed(chunk: dict[str, Any]) -> None:
    with pytest.raises(Failure) as caught:
        run(sse(chunk))
    assert caught.value.reason == reasons.ERROR_REASON_PROVIDER_MALFORMED


def test_an_error_in_the_stream_is_the_servers_own() -> None:
    with pytest.raises(Failure) as caught:
        run(sse(text_chunk("a"), {"error": {"message": "busy", "code": "rate_limit_exceeded"}}))
    assert caught.value.reason == reasons.ERROR_REASON_PROVIDER_RATE_LIMITED
