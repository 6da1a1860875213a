"""OpenAI's SDK for Python before the mesh: its helpers, its errors, and how it tries again.

What every answer holds is in `tests/mesh`; here is what only this client does with it.
"""

import asyncio
import base64
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pydantic
import pytest

from tests.clients import samples
from tests.mesh.driver import Mesh, wait_until
from tests.mesh.scrape import total

pytestmark = [pytest.mark.clients, pytest.mark.slow]

HELLO: Any = [{"role": "user", "content": "Hello"}]
COUNT: Any = [{"role": "user", "content": "Count: one two three four five"}]
WEATHER: Any = [{"role": "user", "content": "What is the weather in Paris, and what is it in Oslo?"}]


class GetWeather(pydantic.BaseModel):
    """The weather in a city, now."""

    city: str
    days: int


class Place(pydantic.BaseModel):
    name: str
    degrees: int
    sky: list[str]


@pytest.fixture
def counting(clients_mesh: Mesh) -> Iterator[tuple[openai.OpenAI, list[httpx2.Response]]]:
    """A client that tries twice more, as it does by default, and the answers it has had."""
    seen: list[httpx2.Response] = []
    with (
        httpx2.Client(event_hooks={"response": [seen.append]}) as connection,
        openai.OpenAI(base_url=clients_mesh.base_url, api_key="none", http_client=connection) as client,
    ):
        yield client, seen


def told(model: str = "echo", messages: Any = HELLO, **script: Any) -> dict[str, Any]:
    """A request to an echo worker, with what it is told to do."""
    return {"model": model, "messages": messages, "extra_body": {"echo": script}}


def running(mesh: Mesh) -> float:
    return total(mesh, "echo-0", "hybrid_worker_attempts_running")


# A machine may stand still for a second, though not each time.
SCENES = 3


def freed(mesh: Mesh) -> bool:
    """Whether the worker is free within a second. Afterwards it is free in any case."""
    return wait_until(lambda: running(mesh) == 0, seconds=30) < 1


def test_the_stream_helper_tells_events_and_the_whole(clients_mesh: Mesh) -> None:
    with clients_mesh.client.chat.completions.stream(
        model="chat", messages=COUNT, stream_options={"include_usage": True}
    ) as stream:
        events = list(stream)
        whole = stream.get_final_completion()
    kinds = [event.type for event in events]
    assert {"chunk", "content.delta", "content.done"} == set(kinds)
    assert kinds.count("content.delta") >= 5
    deltas = [event.delta for event in events if event.type == "content.delta"]
    assert "".join(deltas) == whole.choices[0].message.content == "one two three four five"
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens


def test_several_choices_stream_side_by_side_with_their_log_probabilities(clients_mesh: Mesh) -> None:
    with clients_mesh.client.chat.completions.stream(
        model="chat", messages=COUNT, n=2, logprobs=True, top_logprobs=2
    ) as stream:
        told = [event for event in stream if event.type == "logprobs.content.delta"]
        whole = stream.get_final_completion()
    assert len(told) >= 10
    for choice in whole.choices:
        assert choice.message.content == "one two three four five"
        assert choice.logprobs is not None
        assert [token.token for token in choice.logprobs.content or ()] == ["one", " two", " three", " four", " five"]


async def test_the_stream_helper_for_coroutines_tells_calls_of_tools(clients_mesh: Mesh) -> None:
    async with (
        clients_mesh.async_client() as client,
        client.chat.completions.stream(
            model="chat", messages=WEATHER, tools=[openai.pydantic_function_tool(GetWeather)]
        ) as stream,
    ):
        events = [event async for event in stream]
        whole = await stream.get_final_completion()
    done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert [event.index for event in done] == [0, 1]
    assert [event.parsed_arguments for event in done] == [
        GetWeather(city="Paris", days=21),
        GetWeather(city="Oslo", days=21),
    ]
    pieces = [event for event in events if event.type == "tool_calls.function.arguments.delta"]
    assert len(pieces) > 4
    calls = whole.choices[0].message.tool_calls or []
    assert len({call.id for call in calls}) == 2
    assert whole.choices[0].finish_reason == "tool_calls"


def test_a_schema_of_pydantic_is_parsed_whole_and_streamed(clients_mesh: Mesh) -> None:
    asked: dict[str, Any] = {"model": "chat", "messages": HELLO, "response_format": Place}
    parsed = clients_mesh.client.chat.completions.parse(**asked).choices[0].message.parsed
    assert parsed == Place(name="Paris", degrees=21, sky=["Paris"])
    with clients_mesh.client.chat.completions.stream(**asked) as stream:
        done = [event for event in stream if event.type == "content.done"]
    assert [event.parsed for event in done] == [parsed]


def test_a_parsed_answer_that_is_cut_by_its_limit_raises(clients_mesh: Mesh) -> None:
    with pytest.raises(openai.LengthFinishReasonError):
        clients_mesh.client.chat.completions.parse(model="chat", messages=HELLO, response_format=Place, max_tokens=1)


def test_a_loop_of_tools_ends_with_an_answer(clients_mesh: Mesh) -> None:
    client, messages = clients_mesh.client, list(WEATHER)
    tools = [openai.pydantic_function_tool(GetWeather)]
    asked = client.chat.completions.parse(model="chat", messages=messages, tools=tools).choices[0].message
    messages.append(asked)
    for call in asked.tool_calls or ():
        assert isinstance(call.function.parsed_arguments, GetWeather)
        messages.append({"role": "tool", "tool_call_id": call.id, "content": '{"degrees": 17}'})
    answer = client.chat.completions.create(model="chat", messages=messages, tools=tools)
    assert answer.choices[0].message.content == "It is 17 degrees."


def test_pictures_documents_and_recordings_are_taken_in(clients_mesh: Mesh) -> None:
    def seen(part: dict[str, Any]) -> str | None:
        content: Any = [{"type": "text", "text": "What is it?"}, part]
        answer = clients_mesh.client.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": content}]
        )
        return answer.choices[0].message.content

    encoded = {kind: base64.b64encode(data).decode() for kind, data in samples.SAMPLES.items()}
    url = f"data:image/png;base64,{encoded['png']}"
    assert seen({"type": "image_url", "image_url": {"url": url}}) == "Red"
    page = {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{encoded['pdf']}"}
    assert seen({"type": "file", "file": page}) == "A page."
    recording = {"data": encoded["wav"], "format": "wav"}
    assert seen({"type": "input_audio", "input_audio": recording}) == "A recording of 0.1 seconds."


def test_raw_and_streaming_responses_have_headers(clients_mesh: Mesh) -> None:
    raw = clients_mesh.client.chat.completions.with_raw_response.create(model="chat", messages=HELLO)
    assert raw.headers["content-type"] == "application/json"
    assert raw.request_id == raw.headers["x-request-id"] == raw.parse()._request_id
    assert int(raw.headers["openai-processing-ms"]) >= 0
    assert [raw.headers[f"x-hybrid-{name}"] for name in ("provider", "model", "attempts")] == [
        "vendor",
        "vendor-model-2026",
        "1",
    ]
    with clients_mesh.client.chat.completions.with_streaming_response.create(
        model="chat", messages=HELLO, stream=True
    ) as streaming:
        assert streaming.headers["content-type"].startswith("text/event-stream")
        assert streaming.request_id
        assert streaming.request_id != raw.request_id
        assert "Hello" in "".join(streaming.iter_text())


def test_a_deadline_in_a_header_is_kept(clients_mesh: Mesh) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        clients_mesh.client.chat.completions.create(
            **told(hang_after_tokens=0), extra_headers={"x-hybrid-timeout-ms": "300"}
        )
    assert (caught.value.status_code, caught.value.code) == (504, "timeout")


def test_a_stream_that_is_silent_is_kept_alive_and_read_as_ever(clients_mesh: Mesh) -> None:
    silent = told(messages=COUNT, first_token_ms=2000)
    with clients_mesh.client.chat.completions.with_streaming_response.create(stream=True, **silent) as raw:
        assert next(raw.iter_bytes()).startswith(b":")
    chunks = list(clients_mesh.client.chat.completions.create(stream=True, **silent))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == COUNT[0]["content"]
    failing = told(first_token_ms=2000, fail="PROVIDER_REJECTED")
    with pytest.raises(openai.APIError) as caught:
        list(clients_mesh.client.chat.completions.create(stream=True, **failing))
    assert caught.value.code == "provider_rejected"


CLASSES = {
    "SPEC_INVALID": (openai.BadRequestError, "invalid_request"),
    "CONTEXT_TOO_LONG": (openai.BadRequestError, "context_length_exceeded"),
    "CREDENTIAL_INVALID": (openai.AuthenticationError, "invalid_api_key"),
    "PERMISSION_DENIED": (openai.PermissionDeniedError, "permission_denied"),
    "MODEL_NOT_FOUND": (openai.NotFoundError, "model_not_found"),
    "REQUEST_TOO_LARGE": (openai.APIStatusError, "request_too_large"),
    "QUOTA_EXHAUSTED": (openai.RateLimitError, "insufficient_quota"),
    "INTERNAL": (openai.InternalServerError, "internal_error"),
    "PROVIDER_MALFORMED": (openai.InternalServerError, "provider_malformed"),
    "PROVIDER_OVERLOADED": (openai.InternalServerError, "server_is_overloaded"),
    "DEADLINE_EXCEEDED": (openai.InternalServerError, "timeout"),
}


@pytest.mark.parametrize("reason", CLASSES)
def test_an_error_has_its_class_and_all_that_it_tells(clients_mesh: Mesh, reason: str) -> None:
    kind, code = CLASSES[reason]
    with pytest.raises(openai.APIStatusError) as caught:
        clients_mesh.client.chat.completions.create(**told(fail=reason))
    error = caught.value
    assert type(error) is kind
    assert error.code == code
    assert error.type
    assert error.request_id == error.response.headers["x-request-id"]
    assert "told to fail" in error.message or error.status_code >= 500


def test_a_mistake_is_named_as_the_caller_wrote_it(clients_mesh: Mesh) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        clients_mesh.client.chat.completions.create(model="chat", messages=[{"role": "user", "content": [{}]}])
    assert (caught.value.param, caught.value.type) == ("messages[0].content[0].type", "invalid_request_error")
    with pytest.raises(openai.NotFoundError) as unknown:
        clients_mesh.client.chat.completions.create(model="nobody", messages=HELLO)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError) as path:
        clients_mesh.client.moderations.create(input="a")
    assert path.value.type == "invalid_request_error"


def test_an_error_in_the_middle_of_a_stream_is_raised_after_what_came_before(clients_mesh: Mesh) -> None:
    failing = told(messages=COUNT, fail="ENGINE_FAILED", fail_after_tokens=2)
    said: list[str] = []
    with pytest.raises(openai.APIError) as caught:
        said.extend(
            chunk.choices[0].delta.content or ""
            for chunk in clients_mesh.client.chat.completions.create(stream=True, **failing)
        )
    assert "".join(said) == "Count: one"
    assert not isinstance(caught.value, openai.APIStatusError)
    assert (caught.value.code, caught.value.type) == ("engine_error", "server_error")


Counting = tuple[openai.OpenAI, list[httpx2.Response]]


def test_it_waits_for_a_limit_as_told_then_succeeds(counting: Counting) -> None:
    client, seen = counting
    limited = told("limited", fail="PROVIDER_RATE_LIMITED", retry_after_ms=3000)
    with pytest.raises(openai.RateLimitError):
        client.with_options(max_retries=0).chat.completions.create(**limited)
    begun = time.monotonic()
    assert client.chat.completions.create(model="limited", messages=HELLO).choices
    assert [answer.status_code for answer in seen] == [429, 429, 200]
    seconds = int(seen[1].headers["retry-after"])
    assert 1 <= seconds <= 3
    assert time.monotonic() - begun > seconds, "by itself it would have waited half a second"


def test_it_gives_up_in_the_end(counting: Counting) -> None:
    client, seen = counting
    with pytest.raises(openai.InternalServerError) as caught:
        client.with_options(max_retries=1).chat.completions.create(**told(fail="PROVIDER_OVERLOADED"))
    assert caught.value.status_code == 503
    assert [answer.headers["retry-after"] for answer in seen] == ["1", "1"]


def test_what_it_should_not_try_again_it_does_not(counting: Counting) -> None:
    client, seen = counting
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(**told(fail="QUOTA_EXHAUSTED"))
    assert [answer.headers["x-should-retry"] for answer in seen] == ["false"]


def test_a_client_that_waits_no_longer_frees_the_worker(clients_mesh: Mesh) -> None:
    client = clients_mesh.client.with_options(timeout=0.3)

    def is_free() -> bool:
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(**told(hang_after_tokens=0))
        return freed(clients_mesh)

    assert any(is_free() for _ in range(SCENES))


@pytest.mark.parametrize("leaving", ["close", "cancel"])
async def test_leaving_a_stream_frees_the_worker(clients_mesh: Mesh, leaving: str) -> None:
    for _ in range(SCENES):
        await leave(clients_mesh, leaving)
        if freed(clients_mesh):
            return
    pytest.fail("the worker goes on")


async def leave(mesh: Mesh, leaving: str) -> None:
    """Read the beginning of a stream."""
    async with mesh.async_client() as client:
        begun = asyncio.Event()

        async def read() -> None:
            endless = told(tokens=100_000, token_ms=10)
            async with await client.chat.completions.create(stream=True, **endless) as stream:
                async for _ in stream:
                    begun.set()
                    if leaving == "close":
                        return

        reading = asyncio.create_task(read())
        await begun.wait()
        if leaving == "cancel":
            assert running(mesh) == 1
            reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading


def test_a_response_is_parsed_whole_and_streamed(clients_mesh: Mesh) -> None:
    client = clients_mesh.client
    parsed = client.responses.parse(model="chat", input="Hello", text_format=Place)
    assert parsed.output_parsed == Place(name="Paris", degrees=21, sky=["Paris"])
    with client.responses.stream(model="chat", input="Hello", text_format=Place) as stream:
        events = list(stream)
        whole = stream.get_final_response()
    assert whole.output_parsed == parsed.output_parsed
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == whole.output_text


async def test_a_response_calls_tools_and_goes_on_from_what_they_say(clients_mesh: Mesh) -> None:
    tools = [openai.pydantic_function_tool(GetWeather)["function"] | {"type": "function"}]
    conversation: list[Any] = list(WEATHER)
    async with clients_mesh.async_client() as client:
        first = await client.responses.create(model="chat", input=conversation, tools=tools)
        calls = [item for item in first.output if item.type == "function_call"]
        assert [GetWeather.model_validate_json(call.arguments).city for call in calls] == ["Paris", "Oslo"]
        said = [
            {"type": "function_call_output", "call_id": call.call_id, "output": '{"degrees": 17}'} for call in calls
        ]
        conversation += [*first.output, *said]
        second = await client.responses.create(model="chat", input=conversation, tools=tools, store=False)
    assert second.output_text == "It is 17 degrees."
    assert second.usage.total_tokens == second.usage.input_tokens + second.usage.output_tokens


def test_a_response_that_needs_what_is_stored_is_refused(clients_mesh: Mesh) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        clients_mesh.client.responses.create(model="chat", input="Hello", previous_response_id="resp_1")
    assert caught.value.param == "previous_response_id"
    with pytest.raises(openai.NotFoundError):
        clients_mesh.client.responses.retrieve("resp_1")


def test_prompts_are_completed_whole_and_streamed(clients_mesh: Mesh) -> None:
    completions = clients_mesh.client.completions
    whole = completions.create(model="echo", prompt=["one two three", "four"], max_tokens=2)
    assert [(one.text, one.finish_reason) for one in whole.choices] == [("one two", "length"), ("four", "stop")]
    assert whole.usage is not None
    assert (whole.object, whole.usage.completion_tokens) == ("text_completion", 3)
    asked: Any = {"model": "echo", "prompt": "one two three", "stream_options": {"include_usage": True}}
    chunks = list(completions.create(stream=True, **asked))
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == "one two three"
    assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == [3]
    assert completions.create(model="echo", prompt=[1, 2, 3]).choices[0].text == "1 2 3"


def test_models_and_embeddings(clients_mesh: Mesh) -> None:
    client = clients_mesh.client
    listed = [model.id for model in client.models.list()]
    assert listed == sorted(listed)
    found = client.models.retrieve("org/other:chat")
    assert (found.id, found.object, type(found.created)) == ("org/other:chat", "model", int)
    by_default = client.embeddings.create(model="vectors", input=["a", "b"])
    floats = client.embeddings.create(model="vectors", input=["a", "b"], encoding_format="float")
    assert len(by_default.data[0].embedding) == 1536
    for ours, theirs in zip(by_default.data, floats.data, strict=True):
        assert ours.embedding == pytest.approx(theirs.embedding, abs=1e-6)
    tokens = client.embeddings.create(model="vectors", input=[[1, 2], [3]], dimensions=4)
    assert [len(one.embedding) for one in tokens.data] == [4, 4]
