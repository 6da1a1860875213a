"""Gemini behind the whole mesh: OpenAI's SDK, which knows nothing of it, at one end, a strict server at the other."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.mesh.driver import Mesh, mesh, wait_until
from tests.vendors.gemini_server import (
    Asked,
    GeminiServer,
    Script,
    call,
    error,
    failing,
    gemini_server,
    piece,
    signature,
    sse,
    text,
    thought,
    tool_calls,
    usage,
    vectors,
)
from tests.vendors.http_server import in_a_thread

pytestmark = [pytest.mark.slow, pytest.mark.edge]

KEYS = ("AIzaCanary-bad-aaaaaaaa", "AIzaCanary-good-bbbbbbb")
CONFIG = """
gateway: {{drain_seconds: 2}}
log: {{level: debug}}
router: {{retry: {{max_attempts: 1}}, breaker: {{consecutive_failures: 1000}}}}
providers:
  vendor:
    kind: gemini
    base_url: {url}
    api_keys: [{keys}]
    models: [gemini-3-flash, {{name: gemini-embedding-001, capabilities: [embeddings, dimensions]}}]
    drain_seconds: 2
models:
  - name: chat
    routes: [{{provider: vendor, model: gemini-3-flash}}]
  - name: vectors
    routes: [{{provider: vendor, model: gemini-embedding-001}}]
"""
LOGPROBS = {"chosenCandidates": [{"token": "a", "tokenId": 1, "logProbability": -0.5}]}
BAD_KEY = error(400, f"API key not valid: {KEYS[0]}", "INVALID_ARGUMENT", {"ErrorInfo": {"reason": "API_KEY_INVALID"}})
ANSWERS: dict[str, Script] = {
    "text": Script(text("Grüße", " 🚀")),
    "tools": Script(tool_calls(), write_bytes=5),
    "schema": Script(text('{"a": ', "1}")),
    "image": Script(text("a cat")),
    "logprobs": Script(sse(piece({"text": "a"}, logprobsResult=LOGPROBS), usage(piece(finish="STOP")))),
    "two": Script(
        sse(
            *(piece({"text": "a"}), piece({"text": "b"}, index=1)),
            *(piece(finish="STOP"), usage(piece(index=1, finish="MAX_TOKENS"), 3, 2)),
        )
    ),
    "think": Script(
        sse(piece(thought("hm")), piece({"text": "yes"}), usage(piece(finish="STOP"), 9, 3, thoughts=2, cached=4))
    ),
    "rejected": failing(400, error(400, "`topK` is too large", "INVALID_ARGUMENT")),
    "long": failing(400, error(400, "input token count exceeds the maximum number of tokens", "INVALID_ARGUMENT")),
    "blocked": Script(sse({"promptFeedback": {"blockReason": "SAFETY"}})),
    "broken": failing(500),
    "overloaded": failing(503, error(503, "busy", "UNAVAILABLE", {"RetryInfo": {"retryDelay": "0.01s"}})),
    "nonsense": Script(b"data: {\n\n"),
    "cut": Script(sse(piece({"text": "half"}))),
    "limited": failing(
        429, b"[" + error(429, "slow", "RESOURCE_EXHAUSTED", {"RetryInfo": {"retryDelay": "7s"}}) + b"]"
    ),
    "endless": Script(sse(*[piece({"text": "a"})] * 10_000), event_delay=0.005),
}


def answer(asked: Asked) -> Script:
    if asked.key == KEYS[0]:
        return failing(400, BAD_KEY)
    if asked.path.endswith(":batchEmbedContents"):
        return vectors(*[[0.5, -1.0, 0.25]] * len(asked.body["requests"]))
    contents = asked.body["contents"]
    said = [
        part["text"]
        for content in contents
        for part in content["parts"]
        if content["role"] == "user" and "text" in part
    ]
    if said[-1] == "conversation":
        return turn(len(contents))
    return ANSWERS[said[-1]]


def turn(number: int) -> Script:
    """A conversation of three turns: two calls at once, one more, and an answer."""
    turns = {
        1: tool_calls(),
        3: sse(piece(call("clock", {"zone": "PST"}), finish="STOP")),
        5: text("22 degrees"),
    }
    return Script(turns[number])


@pytest.fixture(scope="module")
def fake() -> Iterator[GeminiServer]:
    with in_a_thread(gemini_server(answer)) as up:
        yield up


@pytest.fixture(scope="module")
def running(fake: GeminiServer) -> Iterator[Mesh]:
    with mesh(CONFIG.format(url=fake.base_url, keys=", ".join(KEYS))) as up:
        yield up


def test_embeddings_come_through_the_sdk(running: Mesh, fake: GeminiServer) -> None:
    made = running.client.embeddings.create(model="vectors", input=["one", "two"], dimensions=3)
    assert [item.embedding for item in made.data] == [[0.5, -1.0, 0.25]] * 2
    assert made.usage.prompt_tokens > 0, "an estimate, since the API says nothing of tokens"
    asked = fake.asked[-1].body["requests"]
    assert [one["content"]["parts"] for one in asked] == [[{"text": "one"}], [{"text": "two"}]]
    assert {one["outputDimensionality"] for one in asked} == {3}


def test_token_ids_are_refused_by_name(running: Mesh) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        running.client.embeddings.create(model="vectors", input=[[1, 2]])
    assert caught.value.param == "input[0]"


def ask(running: Mesh, what: str, **more: Any) -> Any:
    messages = [{"role": "user", "content": what}]
    return running.client.chat.completions.create(**{"model": "chat", "messages": messages, **more})


def answers(running: Mesh) -> bool:
    try:
        return bool(ask(running, "text").choices)
    except openai.InternalServerError:
        return False


def test_an_answer_and_a_stream(running: Mesh, fake: GeminiServer) -> None:
    whole = ask(running, "text", max_completion_tokens=9, seed=1)
    assert whole.choices[0].message.content == "Grüße 🚀"
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (7, 2)
    config = {"maxOutputTokens": 9, "seed": 1, "thinkingConfig": {"includeThoughts": True}}
    assert fake.asked[-1].body["generationConfig"] == config
    chunks = list(ask(running, "text", stream=True))
    assert "".join(one.choices[0].delta.content or "" for one in chunks) == "Grüße 🚀"
    assert chunks[-1].choices[0].finish_reason == "stop"


TOOLS = [
    {"type": "function", "function": {"name": name, "description": name, "parameters": {"type": "object"}}}
    for name in ("weather", "clock")
]


def test_two_parallel_tool_calls_stream(running: Mesh, fake: GeminiServer) -> None:
    calls: dict[int, dict[str, str]] = {}
    reason = None
    for one in ask(running, "tools", stream=True, tools=TOOLS, parallel_tool_calls=True):
        for made in one.choices[0].delta.tool_calls or ():
            so_far = calls.setdefault(made.index, {"id": "", "name": "", "arguments": ""})
            so_far["id"] += made.id or ""
            so_far["name"] += made.function.name or ""
            so_far["arguments"] += made.function.arguments or ""
        reason = one.choices[0].finish_reason or reason
    assert [(one["name"], json.loads(one["arguments"])) for one in calls.values()] == [
        ("weather", {"city": "Köln"}),
        ("clock", {"zone": "CET"}),
    ]
    assert list(calls) == [0, 1]
    assert len({one["id"] for one in calls.values()}) == 2
    assert reason == "tool_calls"
    declared = fake.asked[-1].body["tools"][0]["functionDeclarations"]
    assert [one["name"] for one in declared] == ["weather", "clock"]
    assert len(ask(running, "tools", tools=TOOLS, parallel_tool_calls=False).choices[0].message.tool_calls) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_tool_conversation_of_three_turns_by_a_client_that_knows_nothing_of_signatures(
    running: Mesh, fake: GeminiServer, *, stream: bool
) -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "conversation"}]
    for _ in range(2):
        made = calls_of(running, messages, stream=stream)
        messages.append({"role": "assistant", "content": None, "tool_calls": made})
        messages += [{"role": "tool", "tool_call_id": one["id"], "content": "22"} for one in made]
    assert [len(one.get("tool_calls", ())) for one in messages if one["role"] == "assistant"] == [2, 1]
    assert "extra_content" not in json.dumps(messages)
    last = ask(running, "", messages=messages, tools=TOOLS)
    assert last.choices[0].message.content == "22 degrees"
    contents = fake.asked[-1].body["contents"]
    signatures = [part.get("thoughtSignature") for content in contents for part in content["parts"]]
    assert signatures == [None, signature("weather"), None, None, None, signature("clock"), None]


def calls_of(running: Mesh, messages: list[dict[str, Any]], *, stream: bool) -> list[dict[str, Any]]:
    """The calls of the next turn, as most clients keep them: by the fields that OpenAI's API has, and no other."""
    asked = ask(running, "", messages=messages, tools=TOOLS, stream=stream)
    if stream:
        made = [one for chunk in asked for one in chunk.choices[0].delta.tool_calls or ()]
    else:
        made = asked.choices[0].message.tool_calls
    return [
        {"id": one.id, "type": "function", "function": {"name": one.function.name, "arguments": one.function.arguments}}
        for one in made
    ]


def test_a_conversation_begun_elsewhere_goes_on_with_googles_dummy(running: Mesh, fake: GeminiServer) -> None:
    made = {"id": "elsewhere", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "text"},
        {"role": "assistant", "content": None, "tool_calls": [made]},
        {"role": "tool", "tool_call_id": "elsewhere", "content": "22"},
    ]
    assert ask(running, "", messages=messages, tools=TOOLS).choices[0].message.content == "Grüße 🚀"


def test_a_client_that_keeps_extra_content_sends_the_signature_itself(running: Mesh, fake: GeminiServer) -> None:
    message = ask(running, "tools", tools=TOOLS).choices[0].message
    first = message.tool_calls[0]
    assert first.extra_content["google"]["thought_signature"] == signature("weather")
    history = [
        {"role": "user", "content": "text"},
        message.model_dump(exclude_none=True),
        *({"role": "tool", "tool_call_id": one.id, "content": "22"} for one in message.tool_calls),
    ]
    ask(running, "", messages=history, tools=TOOLS)
    assert fake.asked[-1].body["contents"][1]["parts"][0]["thoughtSignature"] == signature("weather")


def test_a_schema_and_a_picture_reach_the_vendor(running: Mesh, fake: GeminiServer) -> None:
    schema = {"type": "object", "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema, "strict": True}}
    assert json.loads(ask(running, "schema", response_format=form).choices[0].message.content) == {"a": 1}
    assert fake.asked[-1].body["generationConfig"]["responseJsonSchema"] == schema
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQI=", "detail": "low"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "image"}, picture]}]
    assert ask(running, "", messages=messages).choices[0].message.content == "a cat"
    parts = [{"text": "image"}, {"inlineData": {"mimeType": "image/png", "data": "AQI="}}]
    assert fake.asked[-1].body["contents"] == [{"role": "user", "parts": parts}]


def test_logprobs_choices_thinking_and_usage(running: Mesh) -> None:
    (position,) = ask(running, "logprobs", logprobs=True).choices[0].logprobs.content
    assert (position.token, position.logprob) == ("a", -0.5)
    two = ask(running, "two", n=2).choices
    assert [(one.message.content, one.finish_reason) for one in two] == [("a", "stop"), ("b", "length")]
    thinking = ask(running, "think", reasoning_effort="low")
    assert thinking.choices[0].message.reasoning_content == "hm"
    assert thinking.choices[0].message.content == "yes"
    assert (thinking.usage.prompt_tokens, thinking.usage.completion_tokens) == (9, 5)
    assert thinking.usage.prompt_tokens_details.cached_tokens == 4
    assert thinking.usage.completion_tokens_details.reasoning_tokens == 2
    stream = ask(running, "think", stream=True, stream_options={"include_usage": True})
    assert [one.usage.completion_tokens for one in stream if one.usage] == [5]


@pytest.mark.parametrize(
    ("what", "raised", "code"),
    [
        ("rejected", openai.BadRequestError, "provider_rejected"),
        ("long", openai.BadRequestError, "context_length_exceeded"),
        ("blocked", openai.BadRequestError, "content_policy_violation"),
        ("broken", openai.InternalServerError, "provider_unavailable"),
        ("overloaded", openai.InternalServerError, "server_is_overloaded"),
        ("nonsense", openai.InternalServerError, "provider_malformed"),
    ],
)
def test_each_class_of_error_raises_its_own(
    running: Mesh, what: str, raised: type[openai.APIStatusError], code: str
) -> None:
    with pytest.raises(raised) as caught:
        ask(running, what)
    assert caught.value.code == code
    wait_until(lambda: answers(running), seconds=30)  # a router leaves a worker that is overloaded alone for a moment


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"logit_bias": {"1": 1}}, "logit_bias"),
        ({"extra_body": {"min_p": 0.1}}, "min_p"),
        ({"seed": 1 << 40}, "seed"),
    ],
)
def test_what_gemini_does_not_have_is_refused_by_name(
    running: Mesh, fake: GeminiServer, more: dict[str, Any], param: str
) -> None:
    asked = len(fake.asked)
    with pytest.raises(openai.BadRequestError) as caught:
        ask(running, "text", **more)
    assert param in (caught.value.param or "")
    assert len(fake.asked) == asked


def test_a_cut_stream_raises_at_the_client(running: Mesh) -> None:
    stream = ask(running, "cut", stream=True)
    with pytest.raises(openai.APIError):
        list(stream)


def test_a_client_that_leaves_ends_the_vendors_work_within_a_second(running: Mesh, fake: GeminiServer) -> None:
    stream = ask(running, "endless", stream=True)
    next(iter(stream))
    assert fake.busy == 1
    stream.close()
    took = wait_until(lambda: not fake.busy, seconds=1)
    print(f"the vendor's connection closed {took * 1e3:.0f} ms after the client left")


def test_a_bad_key_is_asked_once_for_each_model_and_no_key_is_in_any_address_file_or_metric(
    running: Mesh, fake: GeminiServer
) -> None:
    for number in range(20):  # each begins with one of the keys, and stays with it
        ask(running, "text", user=f"user-{number}")
    # What a key may do differs between models, so each of the two finds out by itself.
    asked_in_vain = [asked.path for asked in fake.asked if asked.key == KEYS[0]]
    assert "/v1beta/models/gemini-3-flash:streamGenerateContent?alt=sse" in asked_in_vain
    assert len(asked_in_vain) == len(set(asked_in_vain))
    assert not any("AIza" in asked.path for asked in fake.asked)
    logs = running.files()
    assert "vendor-0.log" in {file.name for file in logs}
    assert "key.failed" in (running.home / "logs/vendor-0.log").read_text(encoding="utf-8")
    for file in logs:
        assert b"AIzaCanary" not in file.read_bytes(), file


def test_with_every_key_limited_the_client_is_told_when_to_come_back(running: Mesh, fake: GeminiServer) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        ask(running, "limited")
    assert caught.value.response.headers["retry-after"] == "7"
    asked = len(fake.asked)
    with pytest.raises(openai.RateLimitError) as caught:
        ask(running, "text")
    assert int(caught.value.response.headers["retry-after"]) <= 7
    assert len(fake.asked) == asked, "asked before the time that was told"
