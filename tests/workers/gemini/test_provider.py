"""The provider before a server that speaks the real protocol: answers, faults, keys, and clients that leave."""

import asyncio
import contextlib
import dataclasses
import logging
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import structlog
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from services.config.provider import GeminiProvider as Config
from services.workers.gemini.provider import Gemini, open_provider
from services.workers.provider import AttemptContext
from tests.fakes import eventually
from tests.vendors.gemini_server import (
    Asked,
    GeminiServer,
    Script,
    call,
    error,
    failing,
    gemini_server,
    in_turn,
    piece,
    signature,
    sse,
    text,
    thought,
    tool_calls,
    usage,
    vectors,
    whole,
)

Events = list[generation.GenerationEvent]
KEYS = ("AIzaCanary-aaaaaaaaaaaa", "AIzaCanary-bbbbbbbbbbbb", "AIzaCanary-cccccccccccc")
MODEL = "gemini-3-flash"


def spec(*messages: conversation.Message, **fields: Any) -> generation.GenerationSpec:
    asked = generation.GenerationSpec(model=MODEL, messages=messages, **fields)
    if not messages:
        asked.messages.add(role=conversation.ROLE_USER).parts.add(text="hi")
    return asked


@contextlib.asynccontextmanager
async def serving(
    answer: Callable[[Asked], Script] | Script, keys: tuple[str, ...] = KEYS[:1], **settings: Any
) -> AsyncIterator[tuple[Gemini, GeminiServer]]:
    script = answer if callable(answer) else lambda asked: answer
    given = {"first_token_seconds": 5, "idle_seconds": 5, **settings}
    async with gemini_server(script) as fake:
        config = Config.model_validate(
            {"kind": "gemini", "base_url": fake.base_url, "api_keys": keys, "models": [MODEL], **given}
        )
        async with open_provider(config) as provider:
            yield provider, fake


async def collect(provider: Gemini, seen: Events, asked: generation.GenerationSpec | None = None) -> None:
    """What came before a failure counts."""
    async with contextlib.aclosing(provider.generate(asked or spec(), AttemptContext())) as events:
        async for event in events:
            seen.append(event)


async def run(provider: Gemini, asked: generation.GenerationSpec | None = None) -> Events:
    seen: Events = []
    await collect(provider, seen, asked)
    return seen


async def failed(provider: Gemini) -> Failure:
    with pytest.raises(Failure) as caught:
        await run(provider)
    return caught.value


def said(events: Events) -> str:
    return "".join(event.delta.text for event in events)


def calls(events: Events) -> list[generation.ToolCallDelta]:
    return [one for event in events for one in event.delta.tool_calls]


async def test_an_answer_comes_in_the_grammar_over_a_connection_that_is_kept() -> None:
    async with serving(Script(text("Grüße", " 🚀"))) as (provider, fake):
        for _ in range(3):
            events = await run(provider)
            assert [event.WhichOneof("event") for event in events] == ["started", "delta", "delta", "finished"]
            assert said(events) == "Grüße 🚀"
            assert events[0].started.provider_model == "gemini-3-flash-001"
            assert events[-1].finished.usage == generation.Usage(input_tokens=7, output_tokens=2)
        assert fake.connections == 1
        assert provider.load().running == 0


async def test_an_answer_that_is_not_streamed_says_the_same_through_the_same_decoder() -> None:
    answer = usage(piece(thought("hm"), {"text": "Grüße 🚀"}, call("weather"), finish="STOP"), 7, 3, thoughts=2)
    async with serving(whole(answer), stream=False) as (provider, fake):
        events = await run(provider)
        assert fake.asked[0].path == f"/v1beta/models/{MODEL}:generateContent"
    (delta,) = [event.delta for event in events if event.HasField("delta")]
    assert (delta.text, delta.reasoning, delta.tool_calls[0].name) == ("Grüße 🚀", "hm", "weather")
    assert [event.WhichOneof("event") for event in events] == ["started", "delta", "finished"]
    assert events[-1].finished.reasons == [generation.FINISH_REASON_TOOL_CALLS]


async def test_the_key_is_in_the_header_and_nothing_of_the_environment_has_a_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL", "GOOGLE_GENAI_API_VERSION"):
        monkeypatch.setenv(name, "http://from-the-environment.test")
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with serving(Script(text("a"))) as (provider, fake):
        await run(provider)
    (asked,) = fake.asked
    assert asked.path == f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"
    assert asked.headers["x-goog-api-key"] == KEYS[0]
    assert "from-the-environment" not in str(asked)
    async with serving(Script(text("a")), api_version="v1") as (provider, fake):
        await run(provider)
    assert fake.asked[0].path.startswith("/v1/models/")


@pytest.mark.parametrize(("stream", "trace"), [(True, "00-t-s-01"), (False, "00-t-s-01"), (True, "")])
async def test_a_trace_is_handed_on_where_there_is_one(stream: bool, trace: str) -> None:
    answer = Script(text("a")) if stream else whole(piece({"text": "a"}, finish="STOP"))
    async with serving(answer, stream=stream) as (provider, fake):
        context = AttemptContext(traceparent=trace)
        async with contextlib.aclosing(provider.generate(spec(), context)) as events:
            async for _ in events:
                pass
    assert fake.asked[0].headers.get("traceparent", "") == trace


def limited(delay: str) -> bytes:
    quota = {"violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel", "quotaValue": "10"}]}
    return error(429, "slow", "RESOURCE_EXHAUSTED", {"QuotaFailure": quota}, {"RetryInfo": {"retryDelay": delay}})


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (failing(400, error(400, "no", "INVALID_ARGUMENT")), "PROVIDER_REJECTED"),
        (failing(400, error(400, "API key not valid.", "INVALID_ARGUMENT")), "PROVIDER_CREDENTIAL"),
        (failing(403, error(403, "no", "PERMISSION_DENIED")), "PROVIDER_CREDENTIAL"),
        (failing(404, error(404, "no", "NOT_FOUND")), "PROVIDER_REJECTED"),
        (failing(429, b"[" + limited("7s") + b"]"), "PROVIDER_RATE_LIMITED"),
        (failing(500), "PROVIDER_UNAVAILABLE"),
        (failing(503, error(503, "no", "UNAVAILABLE")), "PROVIDER_OVERLOADED"),
        (failing(307, location="http://127.0.0.1:1/"), "PROVIDER_MALFORMED"),
        (failing(500, b"x" * (1 << 20)), "PROVIDER_UNAVAILABLE"),
        (failing(200, b'{"candidates": []}'), None),
        (failing(200, error(429, "no", "RESOURCE_EXHAUSTED")), "PROVIDER_RATE_LIMITED"),
        (failing(200, b"<html>", content_type="text/html"), "PROVIDER_MALFORMED"),
        (failing(200, b"{}", content_encoding="gzip"), "PROVIDER_MALFORMED"),
    ],
    ids=lambda value: value if isinstance(value, str | bool) or value is None else str(value.status),
)
async def test_what_fails_before_the_first_content_has_its_reason_and_nothing_before_it(
    script: Script, reason: str | None, *, stream: bool
) -> None:
    async with serving(script, stream=stream) as (provider, _):
        failure = await failed(provider)
        assert failure.reason_name == (reason or ("PROVIDER_MALFORMED" if stream else "TRUNCATED"))
        assert provider.load().running == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"data: {\n\n", "PROVIDER_MALFORMED"),
        (b"data: " + b"a" * (2 << 20), "PROVIDER_MALFORMED"),
        (sse(piece()), "TRUNCATED"),
        (sse({"promptFeedback": {"blockReason": "SAFETY"}}), "CONTENT_POLICY"),
        (sse({"error": {"code": 503, "message": "x", "status": "UNAVAILABLE"}}), "PROVIDER_OVERLOADED"),
        (sse(piece(finish="MALFORMED_FUNCTION_CALL")), "PROVIDER_MALFORMED"),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_a_stream_that_is_no_answer_has_its_reason(body: bytes, reason: str) -> None:
    async with serving(Script(body)) as (provider, _):
        assert (await failed(provider)).reason_name == reason


async def test_a_whole_answer_without_an_end_to_its_size_is_not_kept() -> None:
    endless = Script(b" " * (9 << 20), headers={"content-type": "application/json"})
    async with serving(endless, stream=False) as (provider, fake):
        assert (await failed(provider)).reason_name == "PROVIDER_MALFORMED"
        await eventually(lambda: not fake.connections, seconds=1)


async def test_an_api_that_is_not_there_is_unavailable() -> None:
    async with serving(Script()) as (_, fake):
        url = fake.base_url
    config = Config.model_validate({"kind": "gemini", "base_url": url, "api_keys": ["none"], "models": [MODEL]})
    async with open_provider(config) as provider:
        assert (await failed(provider)).reason_name == "PROVIDER_UNAVAILABLE"


@pytest.mark.parametrize(
    ("script", "stage"),
    [
        (Script(text("a"), delay=30), "first_token"),
        (Script(sse(piece()), hang=True), "first_token"),
        (Script(sse(piece({"text": "a"})), hang=True), "idle"),
        (Script(sse(piece({"text": "a"})) + b": alive\n\n" * 200, event_delay=0.05), "idle"),
    ],
    ids=["no answer", "no content", "silence", "only comments"],
)
async def test_each_wait_is_bounded_and_says_what_it_was_for(script: Script, stage: str) -> None:
    async with serving(script, **{f"{stage}_seconds": 0.3}) as (provider, fake):
        async with asyncio.timeout(30):
            failure = await failed(provider)
        assert failure.reason_name == "DEADLINE_EXCEEDED"
        assert failure.metadata["stage"] == stage
        await eventually(lambda: not fake.connections, seconds=1)


@pytest.mark.parametrize(
    ("script", "stream"),
    [
        (Script(delay=30), True),
        (Script(sse(piece({"text": "a"})), hang=True), True),
        (Script(sse(*[piece({"text": "a"})] * 1000), event_delay=0.02), True),
        (Script(sse(*[piece({"text": "a"})] * 50_000), hang=True), True),
        (Script(delay=30), False),
    ],
    ids=["no answer", "silence", "slow", "fast", "not streamed"],
)
async def test_no_answer_takes_longer_than_an_answer_may(script: Script, *, stream: bool) -> None:
    async with serving(script, total_seconds=0.3, stream=stream) as (provider, fake):
        async with asyncio.timeout(30):
            failure = await failed(provider)
        assert (failure.reason_name, failure.metadata["stage"]) == ("DEADLINE_EXCEEDED", "total")
        assert provider.leases == 0
        await eventually(lambda: not fake.connections, seconds=1)


async def test_an_api_that_accepts_nobody_is_given_up_at_the_time_to_connect() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with contextlib.ExitStack() as waiting:
            for _ in range(4):  # nobody takes them, so the next ones wait for room to knock
                knock = waiting.enter_context(socket.socket())
                knock.setblocking(False)
                knock.connect_ex(full.getsockname())
            url = f"http://127.0.0.1:{full.getsockname()[1]}"
            given = {"kind": "gemini", "base_url": url, "api_keys": ["none"], "models": [MODEL], "connect_seconds": 0.3}
            async with open_provider(Config.model_validate(given)) as provider:
                failure = await failed(provider)
    assert (failure.reason_name, failure.metadata["stage"]) == ("DEADLINE_EXCEEDED", "connect")


async def test_an_answer_that_is_not_streamed_may_take_as_long_as_any_whole_one() -> None:
    slow = dataclasses.replace(whole(piece({"text": "a"}, finish="STOP")), delay=0.3)
    async with serving(slow, stream=False, first_token_seconds=0.1) as (provider, _):
        assert said(await run(provider)) == "a"


async def test_waiting_for_a_whole_answer_is_bounded_before_it_begins_and_within_it() -> None:
    half = Script(b'{"candi', headers={"content-type": "application/json"}, hang=True)
    for script in (Script(delay=30), half):
        async with serving(script, stream=False, total_seconds=0.3) as (provider, fake):
            async with asyncio.timeout(30):
                assert (await failed(provider)).metadata["stage"] == "total"
            await eventually(lambda fake=fake: not fake.connections, seconds=1)


async def test_an_answer_that_is_whole_needs_no_usage_and_no_farewell() -> None:
    last = piece(finish="STOP")
    del last["usageMetadata"]
    first = piece({"text": "a"})
    del first["usageMetadata"]
    for script in (Script(sse(first, last)), Script(sse(first, last), reset=True)):
        async with serving(script) as (provider, _):
            events = await run(provider)
            assert said(events) == "a"
            assert events[-1].finished.usage.estimated


async def test_what_came_before_a_failure_is_told_before_it() -> None:
    body = sse(piece({"text": "a"}), {"error": {"message": "x", "code": 500}})
    async with serving(Script(body), KEYS) as (provider, fake):
        seen: Events = []
        with pytest.raises(Failure) as caught:
            await collect(provider, seen)
        assert caught.value.reason_name == "PROVIDER_UNAVAILABLE"
        assert said(seen) == "a"
        assert len(fake.asked) == 1, "a stream that has begun is not begun again"


async def test_another_key_answers_unseen_and_the_bad_one_is_left_alone() -> None:
    bad = error(400, "API key not valid.", "INVALID_ARGUMENT", {"ErrorInfo": {"reason": "API_KEY_INVALID"}})

    def answer(asked: Asked) -> Script:
        return failing(400, bad) if asked.key == KEYS[0] else Script(text("a"))

    async with serving(answer, KEYS) as (provider, fake):
        context = AttemptContext()
        async with contextlib.aclosing(provider.generate(spec(), context)) as events:
            assert said([event async for event in events]) == "a"
        assert [(one.key, one.http_status) for one in context.tries] == [(0, 400)]
        for _ in range(5):
            assert said(await run(provider)) == "a"
        assert [asked.key for asked in fake.asked].count(KEYS[0]) == 1


@pytest.mark.parametrize("first", [failing(403), failing(429), failing(500), failing(503)], ids=lambda one: one.status)
async def test_another_key_is_tried_before_anything_was_emitted(first: Script) -> None:
    async with serving(in_turn([first, Script(text("a"))]), KEYS) as (provider, fake):
        assert said(await run(provider)) == "a"
        assert [asked.key for asked in fake.asked] == list(KEYS[:2])


async def test_with_every_key_limited_nobody_asks_before_the_time_that_was_told() -> None:
    script = failing(429, limited("1.2s"))
    async with serving(in_turn([script] * 3 + [Script(text("a"))]), KEYS) as (provider, fake):
        failure = await failed(provider)
        assert failure.reason_name == "PROVIDER_RATE_LIMITED"
        assert failure.retry_after is not None
        assert 0.2 < failure.retry_after <= 1.2
        assert (await failed(provider)).reason_name == "PROVIDER_RATE_LIMITED"
        assert len(fake.asked) == 3
        told = fake.asked[0].at
        await asyncio.sleep(failure.retry_after + 0.1)  # the time that was told, which is the subject
        assert said(await run(provider)) == "a"
        assert fake.asked[3].at - told >= 1.2


ENDLESS = Script(sse(*[piece({"text": "a"})] * 10_000), event_delay=0.005)


@pytest.mark.parametrize(
    ("script", "leave", "stream"),
    [
        (ENDLESS, "close", True),
        (ENDLESS, "cancel", True),
        (Script(delay=60), "cancel", True),
        (Script(delay=60), "cancel", False),
    ],
    ids=["closed in the middle", "cancelled in the middle", "cancelled before", "cancelled before a whole answer"],
)
async def test_a_client_that_leaves_closes_the_connection_within_a_second(
    script: Script, leave: str, *, stream: bool
) -> None:
    async with serving(script, stream=stream) as (provider, fake):
        seen: Events = []

        async def reading() -> None:
            async with contextlib.aclosing(provider.generate(spec(), AttemptContext())) as events:
                async for event in events:
                    seen.append(event)
                    if leave == "close" and len(seen) == 5:
                        return

        task = asyncio.create_task(reading())
        await eventually(lambda: len(seen) >= 5 or bool(script.delay and fake.busy), seconds=30)
        if leave == "cancel":
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await eventually(lambda: not fake.connections, seconds=1)
        assert provider.load().running == 0


async def test_a_full_worker_says_so() -> None:
    async with serving(Script(text("a"), delay=60), max_concurrent=1) as (provider, fake):
        first = asyncio.create_task(run(provider))
        await eventually(lambda: bool(fake.busy), seconds=30)
        assert (await failed(provider)).reason_name == "WORKER_SATURATED"
        assert provider.load().running == provider.load().capacity == 1
        first.cancel()


async def test_vectors_come_in_order_of_any_number_of_inputs() -> None:
    def answer(asked: Asked) -> Script:
        first = [float(request["content"]["parts"][0]["text"]) for request in asked.body["requests"]]
        return vectors(*([number, 0.5] for number in first))

    async with serving(answer) as (provider, fake):
        asked = embedding.EmbeddingSpec(model=MODEL, dimensions=2)
        for number in range(250):
            asked.inputs.add(text=str(number))
        embedded = await provider.embed(asked, AttemptContext())
        assert [list(vector.values) for vector in embedded.embeddings] == [[number, 0.5] for number in range(250)]
        assert embedded.usage.estimated
        assert embedded.usage.input_tokens == -(-sum(len(str(number)) for number in range(250)) // 4)
        assert [len(one.body["requests"]) for one in fake.asked] == [100, 100, 50]
        request = {"model": f"models/{MODEL}", "content": {"parts": [{"text": "0"}]}, "outputDimensionality": 2}
        assert fake.asked[0].body["requests"][0] == request
        assert provider.load().running == 0


async def test_many_large_vectors_are_read_beside_the_loop() -> None:
    values = [0.123456789] * 3072
    async with serving(vectors(*[values] * 50)) as (provider, _):
        asked = embedding.EmbeddingSpec(model=MODEL, inputs=[embedding.EmbeddingInput(text="a")] * 50)
        embedded = await provider.embed(asked, AttemptContext())
        assert [len(vector.values) for vector in embedded.embeddings] == [3072] * 50


async def test_embeddings_fail_as_answers_do() -> None:
    asked = embedding.EmbeddingSpec(model=MODEL, inputs=[embedding.EmbeddingInput(text="a")], dimensions=3)
    for script, reason in (
        (failing(429, limited("7s")), "PROVIDER_RATE_LIMITED"),
        (whole({"embeddings": [{"values": ["a"]}]}), "PROVIDER_MALFORMED"),
        (whole({}), "PROVIDER_MALFORMED"),
        (whole({"embeddings": [{"values": [1.0, 2.0]}]}), "PROVIDER_MALFORMED"),
        (Script(delay=30), "DEADLINE_EXCEEDED"),
    ):
        # Only the one that is silent may run out of time.
        async with serving(script, first_token_seconds=0.3 if script.delay else 30) as (provider, _):
            with pytest.raises(Failure) as caught:
                await provider.embed(asked, AttemptContext())
            assert caught.value.reason_name == reason


def asks(words: str) -> conversation.Message:
    return conversation.Message(role=conversation.ROLE_USER, parts=[conversation.Part(text=words)])


def called(events: Events) -> conversation.Message:
    """The turn that made the calls, as a client gives it back that knows nothing of signatures."""
    made = [conversation.ToolCall(id=one.id, name=one.name, arguments_json=one.arguments_json) for one in calls(events)]
    parts = [conversation.Part(tool_call=one) for one in made]
    return conversation.Message(role=conversation.ROLE_ASSISTANT, parts=parts)


def results(events: Events) -> list[conversation.Message]:
    parts = [
        conversation.Part(tool_result=conversation.ToolResult(tool_call_id=one.id, text="22")) for one in calls(events)
    ]
    return [conversation.Message(role=conversation.ROLE_TOOL, parts=[part]) for part in parts]


async def test_signatures_that_the_client_drops_are_returned_over_three_turns() -> None:
    scripts = [Script(tool_calls()), Script(sse(piece(call("clock"), finish="STOP"))), Script(text("done"))]
    async with serving(in_turn(scripts)) as (provider, fake):
        first = await run(provider, spec(asks("a")))
        history = [asks("a"), called(first), *results(first)]
        second = await run(provider, spec(*history))
        history += [called(second), *results(second)]
        third = await run(provider, spec(*history))
        assert said(third) == "done"
        answer = conversation.Message(role=conversation.ROLE_ASSISTANT, parts=[conversation.Part(text="done")])
        await run(provider, spec(*history, answer, asks("b")))
    contents = fake.asked[-1].body["contents"]
    signed = [part.get("thoughtSignature") for content in contents for part in content["parts"]]
    weather, clock, words = signature("weather"), signature("clock"), signature("text")
    assert signed == [None, weather, None, None, None, clock, None, None, words, None]
    assert contents[5]["parts"] == [{"text": "done"}, {"text": "", "thoughtSignature": words}]
    assert [content["role"] for content in contents] == ["user", "model", "user", "model", "user", "model", "user"]


async def test_a_signature_is_nobody_elses() -> None:
    async with serving(in_turn([Script(tool_calls()), Script(text("done"))])) as (provider, fake):
        first = await run(provider)
        history = spec(asks("a"), called(first), *results(first))
        async with contextlib.aclosing(provider.generate(history, AttemptContext(tenant="another"))) as events:
            assert said([event async for event in events]) == "done"
    (content,) = [one for one in fake.asked[-1].body["contents"] if one["role"] == "model"]
    assert content["parts"][0]["thoughtSignature"] == "skip_thought_signature_validator"


async def test_no_key_is_in_a_log_an_error_or_a_configuration_that_is_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    leaky = error(400, f"bad key {KEYS[0]}", KEYS[0], {"BadRequest": {"fieldViolations": [{"field": KEYS[0]}]}})
    with structlog.testing.capture_logs() as logs:
        for status in (400, 401, 404, 429, 500, 200):
            async with serving(failing(status, leaky)) as (provider, fake):
                failure = await failed(provider)
                assert fake.asked[0].key == KEYS[0]
                assert KEYS[0] not in fake.asked[0].path
                chain: BaseException | None = failure
                while chain is not None:
                    assert KEYS[0] not in f"{chain} {chain!r} {vars(chain)}"
                    chain = chain.__cause__ or chain.__context__
                assert KEYS[0] not in repr(provider._config)
                assert KEYS[0] not in provider._config.model_dump_json()
    assert logs, "nothing was said at all: nothing was searched"
    assert KEYS[0] not in caplog.text
    assert KEYS[0] not in str(logs)


WHOLE = {
    "text": text("Grüße ", "aus ", "東京", " 🚀"),
    "tools": sse(piece(call("wetter", {"ort": "Köln"}, id="a")), piece(call("uhr", {}, id="b"), finish="STOP")),
    "thinking": sse(piece(thought("hä")), piece({"text": "ja"}), piece(finish="MAX_TOKENS")),
}


def content(events: Events) -> str:
    words = "".join(event.delta.text + event.delta.reasoning for event in events)
    return words + "".join(f"{one.index}{one.id}{one.name}{one.arguments_json}" for one in calls(events))


@pytest.mark.slow
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("body", WHOLE.values(), ids=list(WHOLE))
async def test_a_stream_that_is_cut_at_any_byte_is_never_taken_for_whole(body: bytes, *, reset: bool) -> None:
    cuts = iter(range(len(body) + 1))
    outcomes = {"ok": 0, "failed": 0}
    async with serving(Script(body)) as (provider, _):
        complete = await run(provider)
    async with serving(lambda asked: Script(body, cut_after=next(cuts), reset=reset)) as (provider, _):
        for _ in range(len(body) + 1):
            seen: Events = []
            (outcome,) = await asyncio.gather(collect(provider, seen), return_exceptions=True)
            if outcome is not None:
                outcomes["failed"] += 1
                assert isinstance(outcome, Failure)
                assert outcome.reason_name in ("TRUNCATED", "PROVIDER_UNAVAILABLE")
                assert seen == complete[: len(seen)]
            else:
                outcomes["ok"] += 1
                assert content(seen) == content(complete)
                assert seen[-1].finished.reasons == complete[-1].finished.reasons
    assert outcomes["failed"] > len(body) / 2
    assert outcomes["ok"] >= 1


@pytest.mark.slow
async def test_a_whole_answer_that_is_cut_at_any_byte_is_never_taken_for_whole() -> None:
    script = whole(usage(piece({"text": "Grüße 🚀"}, finish="STOP")))
    for chunked in (False, True):
        cuts = iter(range(len(script.body)))

        def answer(asked: Asked, chunked: bool = chunked, cuts: Any = cuts) -> Script:
            return Script(script.body, headers=script.headers, chunked=chunked, cut_after=next(cuts))

        async with serving(answer, stream=False) as (provider, _):
            for _ in range(len(script.body)):
                assert (await failed(provider)).reason_name in ("PROVIDER_MALFORMED", "PROVIDER_UNAVAILABLE")


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("body", WHOLE.values(), ids=list(WHOLE))
async def test_a_stream_in_writes_of_any_size_says_the_same(body: bytes, size: int) -> None:
    async with serving(in_turn([Script(body), Script(body, write_bytes=size)])) as (provider, _):
        assert await run(provider) == await run(provider)
