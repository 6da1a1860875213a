"""Responses as OpenAI's bytes, streamed and whole, read back by the official SDK."""

import json
import math
from typing import Any

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.failure import Failure
from services.gateway.openai.responses.events import ResponseEvents
from services.gateway.openai.responses.params import Params
from services.gateway.openai.responses.request import parse_response
from services.gateway.openai.responses.response import Response
from services.gateway.openai.responses.whole import Whole
from tests.gateway.openai.responses.reading import Reader, events, response

Event = generation.GenerationEvent
STOP, LENGTH = generation.FINISH_REASON_STOP, generation.FINISH_REASON_LENGTH
BLOCKED = generation.FINISH_REASON_BLOCKED
USAGE = generation.Usage(input_tokens=5, output_tokens=3, cached_tokens=2, reasoning_tokens=1)
NOW = 1764000005


def made(**fields: Any) -> Response:
    asked = parse_response(json.dumps({"model": "m", "input": "hi", **fields}).encode())
    return Response(identity="1", created=1764000000, model="m", echo=asked.echo, grouped=asked.grouped)


def writer(**fields: Any) -> ResponseEvents:
    return ResponseEvents(made(**fields), clock=lambda: NOW)


def delta(text: str = "", **fields: Any) -> Event:
    return Event(delta=generation.Delta(text=text, **fields))


def call(index: int, arguments: str = "", **first: Any) -> Event:
    return delta(tool_calls=[{"index": index, "arguments_json": arguments, **first}])


def finished(*ends: int) -> Event:
    return Event(finished=generation.Finished(reasons=ends, usage=USAGE))


def read(*said: Event) -> Reader:
    return Reader().read(events(writer().write(said)))


def whole(*said: Event) -> Any:
    folded = Whole(made())
    folded.take(said)
    return response(json.loads(folded.body(now=NOW)))


def test_started_says_nothing_and_the_first_content_brings_what_comes_before_it():
    written = writer()
    assert written.write([Event(started=generation.Started(provider_model="x"))]) == b""
    assert written.write([delta(token_ids=[7], tokens=1)]) == b""
    types = [event["type"] for event in events(written.write([delta("a")]))]
    assert types == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        "response.output_text.delta",
    ]  # fmt: skip


def test_a_stream_of_text_is_in_the_documented_order():
    reader = read(delta("Hel"), delta("lo"), finished(STOP))
    assert reader.types == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        "response.output_text.delta", "response.output_text.delta", "response.output_text.done",
        "response.content_part.done", "response.output_item.done", "response.completed",
    ]  # fmt: skip
    (item,) = reader.final["output"]
    part = {"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}
    assert item == {
        "id": "msg_1_0", "type": "message", "role": "assistant", "status": "completed", "content": [part],
    }  # fmt: skip
    assert (reader.final["id"], reader.final["created_at"], reader.final["completed_at"]) == ("resp_1", 1764000000, NOW)


def test_a_stream_ends_with_done_as_open_responses_has_it():
    assert writer().write([delta("a"), finished(STOP)]).endswith(b"\n\ndata: [DONE]\n\n")


def test_the_usage_has_the_names_of_this_api():
    assert read(delta("a"), finished(STOP)).final["usage"] == {
        "input_tokens": 5, "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "output_tokens": 3, "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 8,
    }  # fmt: skip


@pytest.mark.parametrize(("end", "why"), [(LENGTH, "max_output_tokens"), (BLOCKED, "content_filter")])
def test_an_answer_that_is_cut_says_why_and_its_last_item_is_incomplete(end, why):
    said = (delta(reasoning="hm"), delta("a"), finished(end))
    for final in (read(*said).final, whole(*said)):
        assert (final["status"], final["incomplete_details"]) == ("incomplete", {"reason": why})
        assert [item["status"] for item in final["output"]] == ["completed", "incomplete"]


def test_what_is_thought_is_a_summary_which_every_client_reads():
    reader = read(delta(reasoning="hm"), delta(reasoning="!"), delta("a"), finished(STOP))
    assert reader.types[2:8] == [
        "response.output_item.added", "response.reasoning_summary_part.added", "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.delta", "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
    ]  # fmt: skip
    thought, message = reader.final["output"]
    assert thought["summary"] == [{"type": "summary_text", "text": "hm!"}]
    assert message["content"][0]["text"] == "a"


def test_what_is_thought_in_between_is_an_item_of_its_own():
    output = read(delta(reasoning="1"), delta("a"), delta(reasoning="2"), delta("b"), finished(STOP)).final["output"]
    assert [item["id"] for item in output] == ["rs_1_0", "msg_1_1", "rs_1_2", "msg_1_3"]


def test_a_refusal_is_a_part_of_the_message():
    reader = read(delta("a"), delta(refusal="no"), delta(refusal="!"), finished(STOP))
    (item,) = reader.final["output"]
    assert item["content"][1:] == [{"type": "refusal", "refusal": "no!"}]
    assert "response.refusal.done" in reader.types


def test_parallel_calls_take_turns_and_are_told_apart():
    reader = read(
        delta("Let me see."),
        call(0, id="call_a", name="f"),
        call(0, '{"a"'),
        call(1, '{"b"', id="call_b", name="g"),
        delta(tool_calls=[{"index": 0, "arguments_json": ":1}"}, {"index": 1, "arguments_json": ":2}"}]),
        finished(generation.FINISH_REASON_TOOL_CALLS),
    )
    message, first, second = reader.final["output"]
    assert (message["status"], reader.final["status"]) == ("completed", "completed")
    assert first == {
        "id": "fc_1_1", "type": "function_call", "status": "completed", "call_id": "call_a", "name": "f",
        "arguments": '{"a":1}',
    }  # fmt: skip
    assert (second["call_id"], second["name"], second["arguments"]) == ("call_b", "g", '{"b":2}')
    # Clients follow one message at a time: it is over before a call begins.
    assert reader.types.index("response.output_text.done") < reader.types.index(
        "response.function_call_arguments.delta"
    )


GROUP = {"type": "namespace", "name": "g", "description": "d", "tools": [{"type": "function", "name": "f"}]}


def test_a_function_of_a_namespace_is_called_by_both_names():
    written = writer(tools=[GROUP, {"type": "function", "name": "f"}])
    said = (call(0, "{}", id="a", name="g__f"), call(1, "{}", id="b", name="f"), finished(STOP))
    first, second = Reader().read(events(written.write(said))).final["output"]
    assert (first["name"], first["namespace"], second["name"]) == ("f", "g", "f")
    assert "namespace" not in second


def test_a_signature_that_comes_with_a_later_piece_is_in_the_whole_call():
    said = (call(0, "{", id="c", name="f"), call(0, "}", signature=b"\x01"), finished(STOP))
    for final in (read(*said).final, whole(*said)):
        assert final["output"][0]["extra_content"] == {"google": {"thought_signature": "AQ=="}}


def test_logprobs_come_with_the_text_and_their_bytes_are_always_a_list():
    top = [generation.TopLogprob(token="a", logprob=-0.5, token_bytes=b"a")]
    tokens = [
        generation.TokenLogprob(token="a", logprob=-0.5, token_bytes=b"a", top=top),
        generation.TokenLogprob(token="?", logprob=-math.inf),
    ]
    said = (delta("a?", logprobs=tokens), delta("a", logprobs=tokens[:1]), delta(logprobs=tokens[:1]), finished(STOP))
    a = {"token": "a", "logprob": -0.5, "bytes": [97]}
    odd = {"token": "?", "logprob": -9999.0, "bytes": [], "top_logprobs": []}
    for final in (read(*said).final, whole(*said)):
        whole_a = {**a, "top_logprobs": [a]}
        assert final["output"][0]["content"][0]["logprobs"] == [whole_a, odd, whole_a, whole_a]


@pytest.mark.parametrize("said", [{"reasoning": "hm"}, {"refusal": "no"}, {"tool_calls": [{"id": "c", "name": "f"}]}])
def test_of_what_is_no_text_there_are_no_logprobs(said):
    tokens = [generation.TokenLogprob(token="a", logprob=-0.5)]
    types = read(delta(logprobs=tokens, **said), finished(STOP)).types
    assert "response.output_text.delta" not in types


def test_an_answer_of_no_words_is_an_empty_message():
    for final in (read(finished(STOP)).final, whole(finished(STOP))):
        assert [part["text"] for part in final["output"][0]["content"]] == [""]


def test_a_limit_that_is_spent_on_thinking_leaves_no_message():
    assert [item["type"] for item in read(delta(reasoning="hm"), finished(LENGTH)).final["output"]] == ["reasoning"]
    assert read(finished(LENGTH)).final["output"] == []


@pytest.mark.parametrize("ends", [(), (generation.FINISH_REASON_UNSPECIFIED,)])
def test_an_end_without_a_reason_is_a_failure_not_an_answer(ends):
    for act in (writer().write, lambda said: whole(*said)):
        with pytest.raises(Failure) as caught:
            act([delta("a"), finished(*ends)])
        assert caught.value.reason == reasons.ERROR_REASON_TRUNCATED


def broken(reason: int, *said: Event, **metadata: str) -> Reader:
    written = writer()
    data = written.write(said) + written.failed(Failure(reason, "why `sampling.seed`", **metadata), Params().of)
    assert b"[DONE]" not in data
    return Reader().read(events(data))


def test_a_failure_is_told_by_an_error_that_sdks_raise_on_and_by_the_response():
    reader = broken(reasons.ERROR_REASON_STREAM_INTERRUPTED, delta(reasoning="hm"), delta("a"))
    assert reader.types[-2:] == ["error", "response.failed"]
    final = reader.final
    assert final["error"] == {"code": "server_error", "message": "why `sampling.seed`"}
    assert [item["status"] for item in final["output"]] == ["completed", "incomplete"]
    assert final["output"][1]["content"][0]["text"] == "a"


def test_a_failure_before_any_content_is_told_in_order_too():
    assert broken(reasons.ERROR_REASON_STREAM_INTERRUPTED).types == [
        "response.created", "response.in_progress", "error", "response.failed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "code", "of_the_response"),
    [
        (reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, "rate_limit_exceeded", "rate_limit_exceeded"),
        (reasons.ERROR_REASON_CONTEXT_TOO_LONG, "context_length_exceeded", "invalid_prompt"),
        (reasons.ERROR_REASON_PROVIDER_OVERLOADED, "server_is_overloaded", "server_error"),
    ],
)
def test_the_error_has_the_code_of_every_answer_and_the_response_one_of_its_few(reason, code, of_the_response):
    written = writer()
    *_, error, failed = events(
        written.write([delta("a")]) + written.failed(Failure(reason, "", field="sampling.seed"), Params().of)
    )
    assert (error["code"], error["error"]["code"], error["param"]) == (code, code, "seed")
    assert failed["response"]["error"]["code"] == of_the_response


def test_what_was_asked_is_repeated():
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    asked = {
        "instructions": "Be brief.", "tools": [tool], "tool_choice": {"type": "function", "name": "f"},
        "text": {"format": schema, "verbosity": "low"}, "temperature": 0, "top_p": 0.5, "parallel_tool_calls": False,
        "reasoning": {"effort": "low", "summary": "auto"}, "metadata": {"a": "b", "c": None}, "max_output_tokens": 7.0,
        "max_tool_calls": 3, "safety_identifier": "s", "user": "u", "prompt_cache_key": "k", "top_logprobs": 2,
        "presence_penalty": 1, "frequency_penalty": -1, "service_tier": "auto", "store": False, "background": False,
        "truncation": "disabled",
    }  # fmt: skip
    shown = events(writer(**asked).write([delta("a")]))[0]["response"]
    told = {
        **asked, "tools": [{**tool, "description": None}], "service_tier": "default", "metadata": {"a": "b"},
        "text": {"format": {**schema, "description": None}, "verbosity": "low"},
    }  # fmt: skip
    assert {name: shown[name] for name in told} == told


def test_what_was_not_asked_is_told_as_the_apis_defaults():
    shown = events(writer(tool_choice="none", text={"format": {"type": "json_object"}}).write([delta("a")]))[0][
        "response"
    ]
    assert (shown["tool_choice"], shown["tools"], shown["parallel_tool_calls"]) == ("none", [], True)
    assert (shown["temperature"], shown["store"], shown["truncation"]) == (1.0, False, "disabled")
    assert shown["text"] == {"format": {"type": "json_object"}, "verbosity": "medium"}


@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_survives_and_stays_on_one_line(text):
    written = writer()
    written.write([delta("x")])
    data = written.write([delta(text)])
    assert len(data.decode().splitlines()) == 3  # also for clients that split decoded text, as str does
    assert events(data)[0]["delta"] == text
    for said in (
        {"reasoning": text},
        {"refusal": text},
        {"tool_calls": [{"id": "c", "name": "f", "arguments_json": text}]},
    ):
        data = writer().write([delta(**said), finished(STOP)])
        assert len(data.decode().splitlines()) == 3 * (data.count(b"\n\n") - 1) + 2
        Reader().read(events(data))


PIECE = st.fixed_dictionaries(
    {},
    optional={
        "text": st.text("ab", max_size=2),
        "reasoning": st.text("ab", max_size=2),
        "refusal": st.sampled_from(["", "no"]),
        "tool_calls": st.lists(
            st.builds(
                lambda index, arguments: {"index": index, "id": f"c{index}", "name": "f", "arguments_json": arguments},
                st.integers(0, 2),
                st.text('{"}', max_size=3),
            ),
            max_size=2,
        ),
        "logprobs": st.lists(st.just({"token": "a", "logprob": -1.0}), max_size=2),
        "token_ids": st.lists(st.integers(0, 9), max_size=1),
    },
)
ENDS = st.sampled_from([STOP, LENGTH, BLOCKED, generation.FINISH_REASON_TOOL_CALLS])


@given(pieces=st.lists(PIECE, max_size=6), ends=ENDS, cuts=st.lists(st.integers(0, 8), max_size=3))
def test_whatever_is_said_the_events_are_in_order_and_amount_to_the_whole_answer(pieces, ends, cuts):
    said = [Event(started=generation.Started()), *(delta(**piece) for piece in pieces), finished(ends)]
    written, data, begin = writer(), b"", 0
    for cut in [*sorted(cuts), len(said)]:  # what is ready at one moment makes no difference
        data += written.write(said[begin:cut])
        begin = max(begin, cut)
    reader = Reader().read(events(data))
    assert reader.output == reader.final["output"]
    assert reader.final == whole(*said)


@given(pieces=st.lists(PIECE, max_size=6))
def test_wherever_it_fails_the_events_are_in_order(pieces):
    written = writer()
    data = written.write([delta(**piece) for piece in pieces])
    data += written.failed(Failure(reasons.ERROR_REASON_STREAM_INTERRUPTED, "why"), Params().of)
    reader = Reader().read(events(data))
    assert [item["id"] for item in reader.final["output"]] == [item["id"] for item in reader.output]
    assert "in_progress" not in [item["status"] for item in reader.final["output"]]
