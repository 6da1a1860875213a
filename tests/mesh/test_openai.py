"""A vendor behind the whole mesh: the official SDK at one end, the vendor's wire protocol at the other."""

import json
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.mesh.driver import Mesh, mesh, wait_until
from tests.vendors.http_server import in_a_thread
from tests.vendors.openai_server import (
    Asked,
    OpenAIServer,
    Script,
    chunk,
    embeddings,
    error,
    failing,
    openai_server,
    sse,
    text,
    text_chunk,
    tool_calls,
    usage,
)

pytestmark = [pytest.mark.slow, pytest.mark.edge]

KEYS = ("sk-canary-bad-aaaaaaaa", "sk-canary-good-bbbbbbb", "sk-canary-good-ccccccc")
CONFIG = """
gateway: {{drain_seconds: 2}}
log: {{level: debug}}
router: {{breaker: {{consecutive_failures: 1000}}}}
providers:
  vendor:
    kind: openai
    base_url: {url}
    api_keys: [{keys}]
    models:
      - big
      - {{name: vectors, capabilities: [embeddings, dimensions, token_inputs]}}
      - {{name: older, capabilities: [completions, logprobs]}}
    fetch: {{allow_http: true, allow_private: true}}
    drain_seconds: 2
models:
  - name: chat
    routes: [{{provider: vendor, model: big}}]
  - name: vectors
    routes: [{{provider: vendor, model: vectors}}]
  - name: older
    routes: [{{provider: vendor, model: older}}]
"""
LOGPROBS = {"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]}
OLDER_LOGPROBS = {"tokens": ["ab"], "token_logprobs": [-0.5], "top_logprobs": [{"ab": -0.5}], "text_offset": [0]}
ANSWERS: dict[str, Script] = {
    "text": Script(text("Grüße", " 🚀")),
    "tools": Script(tool_calls(), write_bytes=5),
    "schema": Script(text('{"a": ', "1}")),
    "image": Script(text("a cat")),
    "logprobs": Script(sse(chunk({"content": "a"}, logprobs=LOGPROBS), chunk(finish="stop"), usage())),
    "two": Script(
        sse(
            *(chunk({"content": "a"}), chunk({"content": "b"}, index=1)),
            *(chunk(finish="stop"), chunk(index=1, finish="length"), usage(3, 2)),
        )
    ),
    "think": Script(
        sse(
            chunk({"reasoning": "hm"}),
            chunk({"content": "yes"}),
            chunk(finish="stop"),
            usage(9, 5, cached=4, reasoning=2),
        )
    ),
    "completed": Script(
        sse(
            text_chunk("Grüße", logprobs=OLDER_LOGPROBS),
            text_chunk(" 🚀", logprobs=OLDER_LOGPROBS, finish="length"),
            usage(3, 2),
        )
    ),
    "rejected": failing(400, error("`n` is too large", param="n")),
    "long": failing(400, error("too long", code="context_length_exceeded")),
    "policy": failing(400, error("no", code="content_policy_violation")),
    "broken": failing(500),
    "overloaded": failing(503, retry_after_ms="10"),
    "nonsense": Script(b"data: {\n\n"),
    "cut": Script(sse(chunk({"content": "half"}), done=False)),
    "limited": failing(429, error("slow down"), retry_after="7"),
    "endless": Script(sse(*[chunk({"content": "a"})] * 10_000), event_delay=0.005),
}


def answer(asked: Asked) -> Script:
    if asked.path == "/v1/picture.png":
        return Script(b"\x01\x02", headers={"content-type": "image/png"}, chunked=False)
    if asked.key == KEYS[0]:
        return failing(401, error(f"Incorrect API key provided: {KEYS[0]}"))
    if asked.path == "/v1/page.html":
        return Script(b"<html>", headers={"content-type": "text/html"}, chunked=False)
    if asked.path == "/v1/embeddings":
        return embeddings(*[[0.5, -1.0, 0.25]] * len(asked.body["input"]))
    if asked.path == "/v1/completions":
        return ANSWERS[asked.body["prompt"]]
    content = asked.body["messages"][-1]["content"]
    return ANSWERS[content if isinstance(content, str) else content[0]["text"]]


@pytest.fixture(scope="module")
def fake() -> Iterator[OpenAIServer]:
    with in_a_thread(openai_server(answer)) as up:
        yield up


@pytest.fixture(scope="module")
def running(fake: OpenAIServer) -> Iterator[Mesh]:
    with mesh(CONFIG.format(url=fake.base_url, keys=", ".join(KEYS))) as up:
        yield up


@pytest.mark.parametrize("given", [["one", "two"], [[1, 2], [3]]], ids=["texts", "token ids"])
def test_embeddings_come_through_the_sdk(running: Mesh, fake: OpenAIServer, given: Any) -> None:
    made = running.client.embeddings.create(model="vectors", input=given, dimensions=3)
    assert [item.embedding for item in made.data] == [[0.5, -1.0, 0.25]] * 2
    assert made.usage.prompt_tokens == 5
    asked = fake.asked[-1].body
    assert (asked["model"], asked["input"], asked["dimensions"]) == ("vectors", given, 3)


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_reaches_the_vendor_as_it_is_and_its_answer_comes_back(
    running: Mesh, fake: OpenAIServer, stream: bool
) -> None:
    create = running.client.completions.create
    answer: Any = create(model="older", prompt="completed", max_tokens=2, logprobs=1, stream=stream)
    sent = fake.asked[-1]
    assert (sent.path, sent.body["prompt"], sent.body["max_tokens"]) == ("/v1/completions", "completed", 2)
    choices = [choice for one in (answer if stream else [answer]) for choice in one.choices]
    assert "".join(choice.text for choice in choices) == "Grüße 🚀"
    assert choices[-1].finish_reason == "length"
    offsets = [offset for choice in choices if choice.logprobs for offset in choice.logprobs.text_offset]
    assert offsets == [0, 2]


@pytest.mark.parametrize(("prompt", "status"), [("overloaded", 503), ("long", 400)])
def test_a_vendors_refusal_of_a_prompt_is_told_as_that_of_a_chat(running: Mesh, prompt: str, status: int) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        running.client.completions.create(model="older", prompt=prompt)
    assert caught.value.status_code == status
    wait_until(lambda: answers(running), seconds=30)  # a router leaves a worker that is overloaded alone for a moment


def test_a_chat_model_refuses_prompts_and_a_model_for_prompts_refuses_chats(running: Mesh) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        running.client.completions.create(model="chat", prompt="completed")
    assert (caught.value.param, caught.value.code) == ("model", "unsupported_parameter")
    assert "The model `chat` cannot complete prompts (asked of vendor); use chat" in caught.value.message
    with pytest.raises(openai.BadRequestError, match="`older` cannot chat"):
        ask(running, "text", model="older")


def ask(running: Mesh, what: str, **more: Any) -> Any:
    messages = [{"role": "user", "content": what}]
    return running.client.chat.completions.create(**{"model": "chat", "messages": messages, **more})


def answers(running: Mesh) -> bool:
    try:
        return bool(ask(running, "text").choices)
    except openai.InternalServerError:
        return False


def test_an_answer_and_a_stream(running: Mesh, fake: OpenAIServer) -> None:
    whole = ask(running, "text", max_completion_tokens=9, seed=1, extra_body={"min_p": 0.1})
    assert whole.choices[0].message.content == "Grüße 🚀"
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (7, 2)
    sent = fake.asked[-1].body
    assert (sent["model"], sent["max_completion_tokens"], sent["seed"], sent["min_p"]) == ("big", 9, 1, 0.1)
    chunks = list(ask(running, "text", stream=True))
    assert "".join(one.choices[0].delta.content or "" for one in chunks) == "Grüße 🚀"
    assert all(one.usage is None for one in chunks), "usage is asked for upstream, and shown to who asks for it"


def test_two_parallel_tool_calls_stream(running: Mesh, fake: OpenAIServer) -> None:
    names = ("weather", "clock")
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in names]
    calls: dict[int, dict[str, str]] = {}
    reason = None
    for one in ask(running, "tools", stream=True, tools=tools, parallel_tool_calls=True):
        for call in one.choices[0].delta.tool_calls or ():
            so_far = calls.setdefault(call.index, {"id": "", "name": "", "arguments": ""})
            so_far["id"] += call.id or ""
            so_far["name"] += call.function.name or ""
            so_far["arguments"] += call.function.arguments or ""
        reason = one.choices[0].finish_reason or reason
    assert calls == {
        0: {"id": "call_a", "name": "weather", "arguments": '{"city": "Köln"}'},
        1: {"id": "call_b", "name": "clock", "arguments": '{"zone": "CET"}'},
    }
    assert reason == "tool_calls"
    assert fake.asked[-1].body["tools"] == tools
    first, second = ask(running, "tools", tools=tools).choices[0].message.tool_calls
    assert (first.function.name, second.function.arguments) == ("weather", '{"zone": "CET"}')


def test_a_schema_a_picture_and_a_history_with_tools_reach_the_vendor_as_they_were(
    running: Mesh, fake: OpenAIServer
) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": True}}
    assert json.loads(ask(running, "schema", response_format=form).choices[0].message.content) == {"a": 1}
    assert fake.asked[-1].body["response_format"] == form
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQI=", "detail": "low"}}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "22"},
        {"role": "user", "content": [{"type": "text", "text": "image"}, picture]},
    ]
    assert ask(running, "", messages=messages).choices[0].message.content == "a cat"
    assert fake.asked[-1].body["messages"] == messages


def test_a_picture_by_address_is_fetched_and_reaches_the_vendor_as_bytes(running: Mesh, fake: OpenAIServer) -> None:
    parts = [{"type": "text", "text": "image"}]
    parts.append({"type": "image_url", "image_url": {"url": f"{fake.base_url}/picture.png"}})
    assert ask(running, "", messages=[{"role": "user", "content": parts}]).choices[0].message.content == "a cat"
    sent = fake.asked[-1].body["messages"][0]["content"][1]
    assert sent == {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQI="}}
    parts[1]["image_url"]["url"] = f"{fake.base_url}/page.html"
    with pytest.raises(openai.BadRequestError, match="media type") as caught:
        ask(running, "", messages=[{"role": "user", "content": parts}])
    assert caught.value.param == "messages[0].content[1]"


def test_logprobs_choices_and_thinking(running: Mesh) -> None:
    (position,) = ask(running, "logprobs", logprobs=True).choices[0].logprobs.content
    assert (position.token, position.logprob) == ("a", -0.5)
    two = ask(running, "two", n=2).choices
    assert [(one.message.content, one.finish_reason) for one in two] == [("a", "stop"), ("b", "length")]
    thought = ask(running, "think", reasoning_effort="low")
    assert thought.choices[0].message.reasoning_content == "hm"
    assert thought.usage.prompt_tokens_details.cached_tokens == 4
    assert thought.usage.completion_tokens_details.reasoning_tokens == 2


@pytest.mark.parametrize(
    ("what", "status", "code"),
    [
        ("rejected", 400, "provider_rejected"),
        ("long", 400, "context_length_exceeded"),
        ("policy", 400, "content_policy_violation"),
        ("broken", 503, "provider_unavailable"),
        ("overloaded", 503, "server_is_overloaded"),
        ("nonsense", 502, "provider_malformed"),
    ],
)
def test_each_class_of_error_has_its_status(running: Mesh, what: str, status: int, code: str) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        ask(running, what)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    wait_until(lambda: answers(running), seconds=30)  # a router leaves a worker that is overloaded alone for a moment


def test_a_denied_option_is_refused_by_name(running: Mesh, fake: OpenAIServer) -> None:
    asked = len(fake.asked)
    with pytest.raises(openai.BadRequestError) as caught:
        ask(running, "text", extra_body={"chat_template_kwargs": {"x": 1}})
    assert caught.value.param == "chat_template_kwargs"
    assert len(fake.asked) == asked


def test_a_cut_stream_raises_at_the_client(running: Mesh) -> None:
    stream = ask(running, "cut", stream=True)
    with pytest.raises(openai.APIError):
        list(stream)


def test_a_client_that_leaves_ends_the_vendors_work_within_a_second(running: Mesh, fake: OpenAIServer) -> None:
    stream = ask(running, "endless", stream=True)
    next(iter(stream))
    assert fake.busy == 1
    stream.close()
    took = wait_until(lambda: not fake.busy, seconds=1)
    print(f"the vendor's connection closed {took * 1e3:.0f} ms after the client left")


def test_a_bad_key_is_asked_once_for_each_model_and_no_key_is_in_any_file_or_metric(
    running: Mesh, fake: OpenAIServer
) -> None:
    for number in range(20):  # each begins with one of the keys, and stays with it
        ask(running, "text", user=f"user-{number}")
    # What a key may do differs between models, so each of the two finds out by itself.
    asked_in_vain = [asked.path for asked in fake.asked if asked.key == KEYS[0]]
    assert "/v1/chat/completions" in asked_in_vain
    assert len(asked_in_vain) == len(set(asked_in_vain))
    logs = running.files()
    assert "vendor-0.log" in {file.name for file in logs}
    assert "key.failed" in (running.home / "logs/vendor-0.log").read_text(encoding="utf-8")
    for file in logs:
        assert b"sk-canary" not in file.read_bytes(), file


def test_with_every_key_limited_the_client_is_told_when_to_come_back_and_nobody_asks_before(
    running: Mesh, fake: OpenAIServer
) -> None:
    before = len(fake.asked)
    with pytest.raises(openai.RateLimitError) as caught:
        ask(running, "limited")
    assert caught.value.response.headers["retry-after"] == "7"
    begun = time.monotonic()
    keys = [asked.key for asked in fake.asked[before:]]
    assert sorted(keys) == sorted(KEYS[1:]), "each key that is left once; the router does not retry into it"
    for _ in range(10):
        with pytest.raises(openai.RateLimitError) as caught:
            ask(running, "text")
        assert 1 <= int(caught.value.response.headers["retry-after"]) <= 7
    assert time.monotonic() - begun < 6
    assert len(fake.asked) == before + 2, "asked before the time that was told"
