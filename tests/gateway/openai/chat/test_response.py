"""Answers as OpenAI's bytes, read back by the official SDK."""

import base64
import json
import math
from typing import Any

import pytest
from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from services.chassis.failure import Failure
from services.gateway.openai.chat.response import ChatChunks, completion

STOP = generation.FINISH_REASON_STOP
USAGE = generation.Usage(input_tokens=5, output_tokens=3, cached_tokens=2, reasoning_tokens=1)


def delta(text: str = "", **fields: Any) -> generation.GenerationEvent:
    return generation.GenerationEvent(delta=generation.Delta(text=text, **fields))


def finished(*ends: int, **fields: Any) -> generation.GenerationEvent:
    return generation.GenerationEvent(finished=generation.Finished(reasons=ends, usage=USAGE, **fields))


def writer(include_usage: bool = False) -> ChatChunks:
    return ChatChunks(completion_id="chatcmpl-1", created=1764000000, model="m", include_usage=include_usage)


def lines(data: bytes) -> list[str]:
    assert data == b"" or data.endswith(b"\n\n")
    events = data.decode().split("\n\n")[:-1]
    assert all(event.startswith("data: ") for event in events)
    return [event.removeprefix("data: ") for event in events]


def chunks(data: bytes) -> list[Any]:
    """The chunks as JSON; the SDK must take each of them as it is."""
    parsed = [json.loads(line) for line in lines(data) if line != "[DONE]"]
    for chunk in parsed:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    return parsed


def test_started_says_nothing():
    assert writer().write([generation.GenerationEvent(started=generation.Started(provider_model="x"))]) == b""


def test_a_stream_of_text_has_the_role_first_and_the_reason_last():
    data = writer().write([delta("Hel"), delta("lo"), finished(STOP)])
    assert lines(data)[-1] == "[DONE]"
    first, second, last = chunks(data)
    assert first == {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1764000000, "model": "m",
        "choices": [
            {"index": 0, "delta": {"role": "assistant", "content": "Hel"}, "logprobs": None, "finish_reason": None}
        ],
    }  # fmt: skip
    assert second["choices"] == [{"index": 0, "delta": {"content": "lo"}, "logprobs": None, "finish_reason": None}]
    assert last["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]


def test_events_written_apart_or_together_are_the_same_bytes():
    events = [delta("a"), delta("b"), delta(choice=1, text="c"), finished(STOP, STOP)]
    apart = writer()
    assert b"".join(apart.write([event]) for event in events) == writer().write(events)


def test_each_choice_has_its_own_role_and_end():
    events = [delta("a"), delta("b", choice=1), finished(STOP, generation.FINISH_REASON_LENGTH)]
    shown = [chunk["choices"][0] for chunk in chunks(writer().write(events))]
    assert [(choice["index"], choice["delta"].get("role")) for choice in shown[:2]] == [
        (0, "assistant"),
        (1, "assistant"),
    ]
    assert [(choice["index"], choice["finish_reason"]) for choice in shown[2:]] == [(0, "stop"), (1, "length")]


def test_usage_comes_once_and_only_when_asked():
    events = [delta("a"), finished(STOP)]
    assert all("usage" not in chunk for chunk in chunks(writer().write(events)))
    *before, last = chunks(writer(include_usage=True).write(events))
    assert [chunk["usage"] for chunk in before] == [None, None]
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 2}, "completion_tokens_details": {"reasoning_tokens": 1},
    }  # fmt: skip


def test_a_tool_call_has_its_id_and_name_in_the_first_piece_only():
    pieces = [
        {"index": 1, "id": "call_1", "name": "look"},
        {"index": 1, "arguments_json": '{"a"'},
        {"index": 1, "arguments_json": ":1}"},
    ]
    events = [delta(tool_calls=[piece]) for piece in pieces]
    shown = [chunk["choices"][0]["delta"] for chunk in chunks(writer().write(events))]
    call = {"index": 1, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": ""}}
    assert shown[0] == {"role": "assistant", "content": None, "tool_calls": [call]}
    assert shown[1] == {"tool_calls": [{"index": 1, "function": {"arguments": '{"a"'}}]}


def test_reasoning_goes_under_both_names_and_a_refusal_under_its_own():
    events = [delta(reasoning="hm"), delta(refusal="no")]
    shown = [chunk["choices"][0]["delta"] for chunk in chunks(writer().write(events))]
    assert shown == [
        {"role": "assistant", "content": "", "reasoning": "hm", "reasoning_content": "hm"},
        {"refusal": "no"},
    ]


def test_logprobs_have_their_bytes_and_alternatives():
    top = [generation.TopLogprob(token="a", logprob=-0.5, token_bytes=b"a")]
    tokens = [
        generation.TokenLogprob(token="a", logprob=-0.5, token_bytes=b"a", top=top),
        generation.TokenLogprob(token="�", logprob=-math.inf),
        generation.TokenLogprob(token="?", logprob=math.nan),
    ]
    _, chunk = chunks(writer().write([delta("a�?", logprobs=tokens)]))
    content = chunk["choices"][0]["logprobs"]["content"]
    a = {"token": "a", "logprob": -0.5, "bytes": [97]}
    assert content[0] == {**a, "top_logprobs": [a]}
    assert [token["logprob"] for token in content[1:]] == [-9999.0, -9999.0]
    assert content[1]["bytes"] is None


def test_the_role_goes_before_the_first_logprobs_of_each_choice():
    token = generation.TokenLogprob(token="a", logprob=-0.5)
    for choice in (0, 1):
        said = delta("a", choice=choice, logprobs=[token])
        first, *others = [chunk["choices"][0] for chunk in chunks(writer().write([said, said]))]
        assert (first["delta"], first["logprobs"]) == ({"role": "assistant", "content": ""}, None)
        assert [one["delta"] for one in others] == [{"content": "a"}] * 2
        assert [len(one["logprobs"]["content"]) for one in others] == [1, 1]


def test_a_piece_without_content_is_not_sent():
    assert writer().write([delta(token_ids=[7], tokens=1)]) == b""


def test_an_answer_of_no_words_still_has_a_role():
    (chunk,) = chunks(writer().write([finished(STOP)]))
    assert chunk["choices"][0]["delta"] == {"role": "assistant", "content": ""}


@pytest.mark.parametrize("ends", [(), (generation.FINISH_REASON_UNSPECIFIED,)])
def test_an_end_without_a_reason_is_a_failure_not_an_answer(ends):
    with pytest.raises(Failure) as caught:
        writer().write([delta("a"), finished(*ends)])
    assert caught.value.reason == reasons.ERROR_REASON_TRUNCATED
    with pytest.raises(Failure):
        whole(*[{"finish_reason": end} for end in ends])


def test_the_fingerprint_comes_with_the_end():
    data = writer(include_usage=True).write([delta("a"), finished(STOP, fingerprint="fp")])
    assert [chunk.get("system_fingerprint") for chunk in chunks(data)] == [None, "fp", "fp"]


@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_survives_and_stays_on_one_line(text):
    w = writer()
    w.write([delta("x")])
    data = w.write([delta(text)])
    assert len(data.decode().splitlines()) == 2  # also for clients that split decoded text, as str does
    assert chunks(data)[0]["choices"][0]["delta"] == {"content": text}
    general = writer().write([delta(text, reasoning=text)])
    assert len(general.decode().splitlines()) == 2
    assert chunks(general)[0]["choices"][0]["delta"]["reasoning"] == text


def whole(*choices: dict[str, Any], **fields: Any) -> Any:
    response = inference.GenerateResponse(choices=choices, usage=USAGE, **fields)
    body = json.loads(completion(response, completion_id="chatcmpl-1", created=1764000000, model="m"))
    ChatCompletion.model_validate(body, strict=True)
    return body


def test_a_whole_answer():
    body = whole({"content": {"text": "Hi", "reasoning": "hm"}, "finish_reason": STOP}, fingerprint="fp")
    assert (body["object"], body["created"], body["system_fingerprint"]) == ("chat.completion", 1764000000, "fp")
    message = {"role": "assistant", "content": "Hi", "refusal": None, "reasoning": "hm", "reasoning_content": "hm"}
    assert body["choices"] == [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]
    assert body["usage"]["total_tokens"] == 8


def test_tool_calls_and_refusals_stand_in_place_of_content():
    call = {"id": "call_1", "name": "look", "arguments_json": "{}", "signature": b"\x01"}
    end = generation.FINISH_REASON_TOOL_CALLS
    message = whole({"content": {"tool_calls": [call]}, "finish_reason": end})["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [
        {
            "id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"},
            "extra_content": {"google": {"thought_signature": base64.b64encode(b"\x01").decode()}},
        }
    ]  # fmt: skip
    refused = whole({"content": {"refusal": "no"}, "finish_reason": generation.FINISH_REASON_BLOCKED})["choices"][0]
    assert (refused["message"]["content"], refused["message"]["refusal"]) == (None, "no")
    assert refused["finish_reason"] == "content_filter"


def test_an_empty_answer_has_empty_content():
    assert whole({"finish_reason": STOP})["choices"][0]["message"]["content"] == ""


def test_a_whole_tool_call_has_all_its_members_though_the_provider_named_none():
    calls = whole({"content": {"tool_calls": [{"arguments_json": "{}"}]}, "finish_reason": STOP})["choices"][0][
        "message"
    ]["tool_calls"]
    assert calls == [{"id": "", "type": "function", "function": {"name": "", "arguments": "{}"}}]


@pytest.mark.parametrize("logprob", [math.inf, 1e-9])
def test_nothing_is_likelier_than_certain(logprob):
    content = {"text": "a", "logprobs": [{"token": "a", "logprob": logprob}]}
    shaped = whole({"content": content, "finish_reason": STOP})["choices"][0]["logprobs"]
    assert shaped["content"][0]["logprob"] == 0
