"""Responses through the whole mesh: OpenAI's SDK at one end, a model behind the chat API at the other."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pydantic
import pytest
from openai.types.responses import Response

from tests.gateway.openai.responses.reading import Reader, events, response
from tests.mesh.driver import Mesh, mesh, wait_until
from tests.vendors.http_server import in_a_thread
from tests.vendors.openai_model import OpenAIModel
from tests.vendors.openai_server import OpenAIServer, openai_server

pytestmark = [pytest.mark.slow, pytest.mark.edge]

CONFIG = """
gateway: {{drain_seconds: 2}}
router: {{breaker: {{consecutive_failures: 1000}}}}
providers:
  vendor: {{kind: openai, base_url: {url}, api_keys: [sk-fake], models: [big], drain_seconds: 2}}
models:
  - name: chat
    routes: [{{provider: vendor, model: big}}]
"""
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: dict[str, Any] = {"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": False}
# A picture of one red point.
RED = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGO4w8AAAAKYAN3rxP+VAAAAAElFTkSuQmCC"
)


@pytest.fixture(scope="module")
def vendor() -> Iterator[OpenAIServer]:
    with in_a_thread(openai_server(OpenAIModel().answer)) as fake:
        yield fake


@pytest.fixture(scope="module")
def running(vendor: OpenAIServer) -> Iterator[Mesh]:
    with mesh(CONFIG.format(url=vendor.base_url)) as up:
        yield up


def ask(running: Mesh, given: Any, **more: Any) -> Any:
    return running.client.responses.create(model="chat", input=given, **more)


def streamed(running: Mesh, given: Any, **more: Any) -> Reader:
    """A stream as its bytes, each event held to the SDK's types and to its place."""
    raw = running.client.responses.with_streaming_response.create(model="chat", input=given, stream=True, **more)
    with raw as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        return Reader().read(events(b"".join(answer.iter_bytes())))


def test_an_answer(running: Mesh) -> None:
    raw = running.client.responses.with_raw_response.create(model="chat", input="What is the capital of France?")
    told = response(json.loads(raw.text))
    assert told["output"][0]["content"][0]["text"] == "The capital of France is Paris."
    answer = raw.parse()
    assert isinstance(answer, Response)
    assert (answer.output_text, answer.status) == ("The capital of France is Paris.", "completed")
    assert answer.usage is not None
    assert answer.usage.output_tokens > 0


def test_a_stream_is_what_the_sdk_puts_together(running: Mesh) -> None:
    with running.client.responses.stream(model="chat", input="What is the capital of France?") as stream:
        seen = list(stream)
        final = stream.get_final_response()
    assert final.output_text == "The capital of France is Paris."
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert sum(event.type == "response.output_text.delta" for event in seen) == 6
    assert streamed(running, "What is the capital of France?").final["status"] == "completed"


def test_long_instructions_come_back_through_the_edge(running: Mesh) -> None:
    # The first event repeats them, and so does the second: together they are more than the edge takes at once.
    long = "x" * (12 << 20)
    asking = running.client.responses.with_streaming_response
    with asking.create(model="chat", input="Say one.", instructions=long, stream=True) as answer:
        body = b"".join(answer.iter_bytes())
    assert body.count(long.encode()) == 3
    assert body.endswith(b"data: [DONE]\n\n")


def test_instructions_and_a_history_reach_the_model(running: Mesh, vendor: OpenAIServer) -> None:
    named = ask(running, "What is your name?", instructions="Your name is Ada.")
    assert named.output_text == "My name is Ada."
    history = [
        {"role": "user", "content": "Say something."},
        {"role": "assistant", "content": [{"type": "output_text", "text": "the word Heron"}]},
        {"role": "user", "content": "Repeat your answer."},
    ]
    assert ask(running, history).output_text == "Heron"
    assert [message["role"] for message in vendor.asked[-1].body["messages"]] == ["user", "assistant", "user"]


def test_a_loop_of_parallel_tools_ends_with_an_answer(running: Mesh, vendor: OpenAIServer) -> None:
    conversation: list[Any] = [{"role": "user", "content": "What is the weather in Paris, and what is it in Oslo?"}]
    more: dict[str, Any] = {"tools": [WEATHER], "reasoning": {"effort": "low"}, "store": False}
    first = ask(running, conversation, include=["reasoning.encrypted_content"], **more)
    calls = [item for item in first.output if item.type == "function_call"]
    assert [json.loads(call.arguments) for call in calls] == [{"city": "Paris"}, {"city": "Oslo"}]
    conversation += first.output  # as it came
    for call in calls:
        conversation.append({"type": "function_call_output", "call_id": call.call_id, "output": '{"degrees": 21}'})
    assert ask(running, conversation, **more).output_text == "It is 21 degrees."
    sent = vendor.asked[-1].body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "tool"]
    assert [call["id"] for call in sent[1]["tool_calls"]] == [call.call_id for call in calls]


def test_parallel_calls_stream(running: Mesh) -> None:
    given = "What is the weather in Paris, and what is it in Oslo?"
    reader = streamed(running, given, tools=[WEATHER], parallel_tool_calls=True)
    assert [json.loads(item["arguments"])["city"] for item in reader.final["output"]] == ["Paris", "Oslo"]
    with running.client.responses.stream(model="chat", input=given, tools=[WEATHER]) as stream:
        places = [one.output_index for one in stream if one.type == "response.function_call_arguments.delta"]
    assert (set(places), len(places) > 2) == ({0, 1}, True)


def test_a_tool_that_must_be_called_is(running: Mesh) -> None:
    for choice in ("required", {"type": "function", "name": "weather"}):
        (item,) = ask(running, "Hello", tools=[WEATHER], tool_choice=choice).output
        assert (item.type, item.name) == ("function_call", "weather")


def test_a_model_of_pydantic_comes_back(running: Mesh) -> None:
    class Capital(pydantic.BaseModel):
        city: str
        inhabitants: int

    parsed = running.client.responses.parse(model="chat", input="Name a capital.", text_format=Capital)
    assert parsed.output_parsed == Capital(city="Paris", inhabitants=21)
    with running.client.responses.stream(model="chat", input="Name a capital.", text_format=Capital) as stream:
        assert stream.get_final_response().output_parsed == Capital(city="Paris", inhabitants=21)


def test_a_picture_is_seen(running: Mesh) -> None:
    parts = [{"type": "input_text", "text": "Which?"}, {"type": "input_image", "image_url": RED, "detail": "low"}]
    assert ask(running, [{"role": "user", "content": parts}]).output_text == "Red"


def test_thinking_is_a_summary_before_the_answer(running: Mesh) -> None:
    answer = ask(running, "What is 17 times 23?", reasoning={"effort": "low", "summary": "auto"})
    thought, message = answer.output
    assert "Seventeen times twenty is 340" in thought.summary[0].text
    assert message.content[0].text == "391"
    assert answer.usage.output_tokens_details.reasoning_tokens > 0
    reader = streamed(running, "What is 17 times 23?", reasoning={"effort": "low"})
    assert [item["type"] for item in reader.final["output"]] == ["reasoning", "message"]
    assert reader.types.count("response.reasoning_summary_text.delta") > 1


def test_logprobs_and_a_limit(running: Mesh) -> None:
    answer = ask(running, "Hello", include=["message.output_text.logprobs"], top_logprobs=2)
    first = answer.output[0].content[0].logprobs[0]
    assert (first.token, len(first.top_logprobs)) == ("Hello", 2)
    cut = streamed(running, "Hello", max_output_tokens=2, include=["message.output_text.logprobs"]).final
    assert (cut["status"], cut["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert len(cut["output"][0]["content"][0]["logprobs"]) == 2


@pytest.mark.parametrize(
    ("more", "kind", "param"),
    [
        ({"input": "fault: rejected"}, openai.BadRequestError, "input"),
        ({"input": "fault: policy"}, openai.BadRequestError, None),
        ({"input": "fault: unavailable"}, openai.InternalServerError, None),
        ({"input": "fault: malformed"}, openai.InternalServerError, None),
        ({"model": "nobody"}, openai.NotFoundError, None),
        ({"tools": [{"type": "web_search"}]}, openai.BadRequestError, "tools[0].type"),
        ({"previous_response_id": "resp_1"}, openai.BadRequestError, "previous_response_id"),
        ({"store": True}, openai.BadRequestError, "store"),
    ],
)
def test_errors_are_of_their_class_and_name_what_was_said(
    running: Mesh, more: dict[str, Any], kind: type[openai.APIStatusError], param: str | None
) -> None:
    for stream in (False, True) if more.get("input") != "fault: malformed" else (False,):
        with pytest.raises(kind) as caught:
            running.client.responses.create(**{"model": "chat", "input": "Hello", "stream": stream, **more})
        assert caught.value.param == param


def test_a_stream_that_is_cut_raises(running: Mesh) -> None:
    with pytest.raises(openai.APIError) as caught:
        list(ask(running, "fault: cut", stream=True))
    assert not isinstance(caught.value, openai.APIConnectionError)
    assert caught.value.code
    with running.client.responses.stream(model="chat", input="fault: cut") as stream, pytest.raises(openai.APIError):
        stream.get_final_response()
    assert streamed(running, "fault: cut").types[-2:] == ["error", "response.failed"]


def test_a_client_that_leaves_ends_the_vendors_work_within_a_second(running: Mesh, vendor: OpenAIServer) -> None:
    stream = ask(running, "fault: endless", stream=True)
    assert next(iter(stream)).type == "response.created"
    assert vendor.busy == 1
    stream.close()
    wait_until(lambda: not vendor.busy, seconds=1)


@pytest.mark.parametrize("verb", ["retrieve", "delete", "cancel"])
def test_what_needs_stored_responses_is_not_there(running: Mesh, verb: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        getattr(running.client.responses, verb)("resp_1")
    assert (caught.value.code, caught.value.type) == ("unknown_url", "invalid_request_error")
    with pytest.raises(openai.NotFoundError):
        running.client.responses.input_items.list("resp_1")


def message(role: str, content: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content}


TOOL = {key: value for key, value in WEATHER.items() if key != "strict"}
IMAGE = [{"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": RED}]
# What the compliance suite of Open Responses asks, and the type of item that must be in each answer.
OPEN_RESPONSES: dict[str, tuple[dict[str, Any], str]] = {
    "basic": ({"input": [message("user", "Say hello.")]}, "message"),
    "system prompt": ({"input": [message("system", "Be a pirate."), message("user", "Say hello.")]}, "message"),
    "tool calling": ({"input": [message("user", "How is the weather in Oslo?")], "tools": [TOOL]}, "function_call"),
    "image": ({"input": [message("user", IMAGE)]}, "message"),
    "several turns": (
        {"input": [message("user", "I am Ada."), message("assistant", "Hello Ada!"), message("user", "Who am I?")]},
        "message",
    ),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("check", OPEN_RESPONSES)
def test_what_open_responses_checks(running: Mesh, check: str, stream: bool) -> None:
    asked, kind = OPEN_RESPONSES[check]
    if stream:
        told = streamed(running, asked["input"], tools=asked.get("tools", openai.omit)).final
    else:
        raw = running.client.responses.with_raw_response.create(model="chat", **asked)
        told = response(json.loads(raw.text))
    assert told["status"] == "completed"
    assert kind in [item["type"] for item in told["output"]]
