"""The provider before a server that speaks the real protocol: answers, faults, keys, and clients that leave."""

import asyncio
import contextlib
import gzip
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import structlog
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from services.config.provider import OpenAIProvider as Config
from services.workers.openai.provider import OpenAIServer, open_provider
from services.workers.provider import AttemptContext
from tests.fakes import eventually
from tests.vendors.openai_server import (
    Asked,
    Script,
    chunk,
    error,
    failing,
    in_turn,
    openai_server,
    sse,
    text,
    text_chunk,
    tool_calls,
    usage,
)
from tests.vendors.openai_server import (
    OpenAIServer as FakeServer,
)

Events = list[generation.GenerationEvent]
KEYS = ("sk-canary-aaaaaaaaaaaa", "sk-canary-bbbbbbbbbbbb", "sk-canary-cccccccccccc")


def spec(**fields: Any) -> generation.GenerationSpec:
    asked = generation.GenerationSpec(model="m", **fields)
    asked.messages.add(role=conversation.ROLE_USER).parts.add(text="hi")
    return asked


@contextlib.asynccontextmanager
async def serving(
    answer: Callable[[Asked], Script] | Script, keys: tuple[str, ...] = KEYS[:1], **settings: Any
) -> AsyncIterator[tuple[OpenAIServer, FakeServer]]:
    script = answer if callable(answer) else lambda asked: answer
    given = {"first_token_seconds": 5, "idle_seconds": 5, **settings}
    async with openai_server(script) as fake:
        config = Config.model_validate(
            {"kind": "openai", "base_url": fake.base_url, "api_keys": keys, "models": ["m"], **given}
        )
        async with open_provider(config) as provider:
            yield provider, fake


async def collect(provider: OpenAIServer, seen: Events, asked: generation.GenerationSpec | None = None) -> None:
    """What came before a failure counts."""
    async with contextlib.aclosing(provider.generate(asked or spec(), AttemptContext())) as events:
        async for event in events:
            seen.append(event)


async def run(provider: OpenAIServer, asked: generation.GenerationSpec | None = None) -> Events:
    seen: Events = []
    await collect(provider, seen, asked)
    return seen


async def failed(provider: OpenAIServer) -> Failure:
    with pytest.raises(Failure) as caught:
        await run(provider)
    return caught.value


def said(events: Events) -> str:
    return "".join(event.delta.text for event in events)


async def test_an_answer_comes_in_the_grammar_over_a_connection_that_is_kept() -> None:
    async with serving(Script(text("Grüße", " 🚀"))) as (provider, fake):
        for _ in range(3):
            events = await run(provider)
            assert [event.WhichOneof("event") for event in events] == ["started", "delta", "delta", "finished"]
            assert said(events) == "Grüße 🚀"
            assert events[0].started.provider_model == "vendor-model-2026"
        assert fake.connections == 1
        assert provider.load().running == 0


PROMPTED = generation.GenerationSpec(model="m", prompt={"text": "hi"}, max_output_tokens=5)
COMPLETED = Script(sse(text_chunk("a"), text_chunk("b", finish="length"), usage(1, 2)))


async def test_a_prompt_is_completed_at_the_older_path_over_the_same_connections() -> None:
    async with serving(COMPLETED) as (provider, fake):
        for _ in range(2):
            events = await run(provider, PROMPTED)
            assert (said(events), events[0].started.provider_model) == ("ab", "vendor-model-2026")
            assert list(events[-1].finished.reasons) == [generation.FINISH_REASON_LENGTH]
        assert {asked.path for asked in fake.asked} == {"/v1/completions"}
        assert fake.connections == 1


async def test_what_fails_before_a_prompt_goes_on_is_tried_with_another_key_and_afterwards_it_is_not() -> None:
    refused = failing(429, error("slow down", code="rate_limit_exceeded"), retry_after="7")
    async with serving(in_turn([refused, COMPLETED]), KEYS[:2]) as (provider, fake):
        assert said(await run(provider, PROMPTED)) == "ab"
        assert len(fake.asked) == 2
    cut = Script(sse(text_chunk("a"), done=False))
    async with serving(cut, KEYS[:2]) as (provider, fake):
        seen: Events = []
        with pytest.raises(Failure) as caught:
            await collect(provider, seen, PROMPTED)
        assert (caught.value.reason_name, said(seen), len(fake.asked)) == ("TRUNCATED", "a", 1)


async def test_the_server_is_told_the_key_and_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, "http://from-the-environment.test")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with serving(Script(text("a"))) as (provider, fake):
        await run(provider)
    assert fake.asked[0].path == "/v1/chat/completions"
    assert fake.asked[0].key == KEYS[0]
    assert "from-the-environment" not in str(fake.asked[0].headers)
    assert "openai-organization" not in fake.asked[0].headers
    async with serving(Script(text("a")), organization="org", project="proj") as (provider, fake):
        await run(provider)
    assert fake.asked[0].headers["openai-organization"] == "org"
    assert fake.asked[0].headers["openai-project"] == "proj"


@pytest.mark.parametrize("trace", ["00-t-s-01", ""])
async def test_a_trace_is_handed_on_where_there_is_one(trace: str) -> None:
    async with serving(Script(text("a"))) as (provider, fake):
        context = AttemptContext(traceparent=trace)
        async with contextlib.aclosing(provider.generate(spec(), context)) as events:
            async for _ in events:
                pass
    assert fake.asked[0].headers.get("traceparent", "") == trace


async def test_what_a_server_hands_out_as_a_cookie_is_not_kept() -> None:
    script = Script(text("a"))
    script.headers |= {"set-cookie": "__cf_bm=x; path=/"}
    async with serving(script) as (provider, fake):
        await run(provider)
        await run(provider)
    assert not any("cookie" in asked.headers for asked in fake.asked)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (failing(400, error("no")), "PROVIDER_REJECTED"),
        (failing(401, error("no")), "PROVIDER_CREDENTIAL"),
        (failing(429, error("no"), retry_after="7"), "PROVIDER_RATE_LIMITED"),
        (failing(500), "PROVIDER_UNAVAILABLE"),
        (failing(503), "PROVIDER_OVERLOADED"),
        (failing(307, location="http://127.0.0.1:1/"), "PROVIDER_MALFORMED"),
        (failing(500, b"x" * (1 << 20)), "PROVIDER_UNAVAILABLE"),
        (failing(400, gzip.compress(b"x" * (1 << 20)), content_encoding="gzip"), "PROVIDER_REJECTED"),
        (failing(200, b'{"choices": []}'), "PROVIDER_MALFORMED"),
        (failing(200, error("no", code="rate_limit_exceeded")), "PROVIDER_RATE_LIMITED"),
        (failing(200, b"<html>", content_type="text/html"), "PROVIDER_MALFORMED"),
        (Script(b"data: {\n\n"), "PROVIDER_MALFORMED"),
        (Script(b"data: " + b"a" * (2 << 20)), "PROVIDER_MALFORMED"),
        (Script(sse(chunk({"role": "assistant"}))), "TRUNCATED"),
        (Script(text("a"), cut_after=100, reset=True), "PROVIDER_UNAVAILABLE"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.status),
)
async def test_what_fails_before_the_first_content_has_its_reason_and_nothing_before_it(
    script: Script, reason: str
) -> None:
    async with serving(script) as (provider, _):
        failure = await failed(provider)
        assert failure.reason_name == reason
        assert provider.load().running == 0


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with serving(Script()) as (_, fake):
        url = fake.base_url
    config = Config.model_validate({"kind": "openai", "base_url": url, "api_keys": ["none"], "models": ["m"]})
    async with open_provider(config) as provider:
        assert (await failed(provider)).reason_name == "PROVIDER_UNAVAILABLE"


@pytest.mark.parametrize(
    ("script", "stage"),
    [
        (Script(text("a"), delay=30), "first_token"),
        (Script(sse(chunk({"role": "assistant"}), done=False), hang=True), "first_token"),
        (Script(sse(chunk({"content": "a"}), done=False), hang=True), "idle"),
        (Script(sse(chunk({"content": "a"}), done=False) + b": alive\n\n" * 200, event_delay=0.05), "idle"),
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
    "script",
    [
        Script(delay=30),
        Script(sse(chunk({"content": "a"}), done=False), hang=True),
        Script(sse(*[chunk({"content": "a"})] * 1000), event_delay=0.02),
        Script(sse(*[chunk({"content": "a"})] * 100_000, done=False), hang=True),
    ],
    ids=["no answer", "silence", "slow", "fast"],
)
async def test_no_answer_takes_longer_than_an_answer_may(script: Script) -> None:
    async with serving(script, total_seconds=0.3) as (provider, fake):
        async with asyncio.timeout(30):
            failure = await failed(provider)
        assert failure.reason_name == "DEADLINE_EXCEEDED"
        assert failure.metadata["stage"] == "total"
        assert provider.leases == 0
        await eventually(lambda: not fake.connections, seconds=1)


async def test_a_server_that_accepts_nobody_is_given_up_at_the_time_to_connect() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with contextlib.ExitStack() as waiting:
            for _ in range(4):  # nobody takes them, so the next ones wait for room to knock
                knock = waiting.enter_context(socket.socket())
                knock.setblocking(False)
                knock.connect_ex(full.getsockname())
            url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
            given = {"kind": "openai", "base_url": url, "api_keys": ["none"], "models": ["m"], "connect_seconds": 0.3}
            async with open_provider(Config.model_validate(given)) as provider:
                failure = await failed(provider)
    assert failure.reason_name == "DEADLINE_EXCEEDED"
    assert failure.metadata["stage"] == "connect"


async def test_rate_limit_headers_become_headroom_whether_the_answer_is_one_or_not() -> None:
    def limits(remaining: int) -> dict[str, str]:
        return {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": str(remaining),
            "x-ratelimit-reset-requests": "1m0s",
        }

    good = Script(text("a"))
    good.headers |= limits(59)
    bad = failing(400, error("no"))
    bad.headers |= limits(58)
    async with serving(in_turn([good, bad]), KEYS[:2]) as (provider, _):
        await run(provider)
        (headroom,) = provider.load().headroom
        assert (headroom.unit, headroom.remaining, headroom.limit) == ("requests", 59, 60)
        assert 59 <= headroom.reset_after.seconds <= 60
        assert (await failed(provider)).reason_name == "PROVIDER_REJECTED"
        (headroom,) = provider.load().headroom
        assert (headroom.remaining, headroom.limit) == (117, 120)


async def test_a_caller_stays_with_one_key() -> None:
    async with serving(Script(text("a")), KEYS) as (provider, fake):
        for tenant in ("a", "b", "c", "d", "e", "f") * 3:
            events = provider.generate(spec(), AttemptContext(tenant=tenant))
            async with contextlib.aclosing(events):
                assert [event async for event in events]
    keys = [asked.key for asked in fake.asked]
    assert keys[:6] == keys[6:12] == keys[12:]
    assert len(set(keys)) > 1


async def test_what_a_key_bears_is_learned_and_beyond_it_others_are_to_be_asked() -> None:
    scripts = [failing(503), Script(text("a"), delay=60)]
    async with serving(in_turn(scripts), adaptive_limit={"initial": 2, "maximum": 2}) as (provider, fake):
        assert (await failed(provider)).reason_name == "PROVIDER_OVERLOADED"
        first = asyncio.create_task(run(provider))
        await eventually(lambda: len(fake.asked) == 2, seconds=30)
        failure = await failed(provider)
        assert failure.reason_name == "WORKER_SATURATED"
        assert failure.retry_after == 1
        assert len(fake.asked) == 2
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert provider.leases == 0


async def test_an_answer_that_is_whole_needs_no_usage_and_no_farewell() -> None:
    whole = sse(chunk({"content": "a"}), chunk(finish="stop"), done=False)
    for script in (Script(whole), Script(whole, reset=True)):
        async with serving(script) as (provider, _):
            events = await run(provider)
            assert said(events) == "a"
            assert events[-1].finished.usage.estimated


async def test_what_came_before_a_failure_is_told_before_it() -> None:
    body = sse(chunk({"content": "a"}), {"error": {"message": "x", "code": 500}})
    async with serving(Script(body), KEYS) as (provider, fake):
        seen: Events = []
        with pytest.raises(Failure) as caught:
            await collect(provider, seen)
        assert caught.value.reason_name == "PROVIDER_UNAVAILABLE"
        assert said(seen) == "a"
        assert len(fake.asked) == 1, "a stream that has begun is not begun again"


async def test_another_key_answers_unseen_and_the_bad_one_is_left_alone() -> None:
    def answer(asked: Asked) -> Script:
        return failing(401, error("bad key")) if asked.key == KEYS[0] else Script(text("a"))

    async with serving(answer, KEYS) as (provider, fake):
        for _ in range(6):
            assert said(await run(provider)) == "a"
        assert [asked.key for asked in fake.asked].count(KEYS[0]) == 1


async def test_seven_seconds_told_by_every_key_are_seven_seconds_in_which_nobody_asks() -> None:
    async with serving(failing(429, error("slow"), retry_after="7"), KEYS) as (provider, fake):
        begun = time.monotonic()
        for _ in range(51):
            failure = await failed(provider)
            assert failure.reason_name == "PROVIDER_RATE_LIMITED"
            assert 7 - (time.monotonic() - begun) <= (failure.retry_after or 0) <= 7
        assert [asked.key for asked in fake.asked] == list(KEYS)


@pytest.mark.parametrize("first", [failing(403), failing(429), failing(500), failing(503)], ids=lambda one: one.status)
async def test_another_key_is_tried_before_anything_was_emitted(first: Script) -> None:
    async with serving(in_turn([first, Script(text("a"))]), KEYS) as (provider, fake):
        assert said(await run(provider)) == "a"
        assert [asked.key for asked in fake.asked] == list(KEYS[:2])


async def test_with_every_key_limited_nobody_asks_before_the_time_that_was_told() -> None:
    limited = failing(429, error("slow"), retry_after_ms="1200")
    async with serving(in_turn([limited] * 3 + [Script(text("a"))]), KEYS) as (provider, fake):
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


ENDLESS = Script(sse(*[chunk({"content": "a"})] * 10_000), event_delay=0.005)


@pytest.mark.parametrize(
    ("script", "leave"),
    [(ENDLESS, "close"), (ENDLESS, "cancel"), (Script(delay=60), "cancel")],
    ids=["closed in the middle", "cancelled in the middle", "cancelled before"],
)
async def test_a_client_that_leaves_closes_the_connection_within_a_second(script: Script, leave: str) -> None:
    async with serving(script) as (provider, fake):
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


async def test_capabilities_are_those_that_are_configured() -> None:
    async with serving(Script(), capabilities=["chat", "stop"], context_tokens=9) as (provider, _):
        (served,) = provider.models
        assert (served.name, served.context_tokens, list(served.capabilities)) == ("m", 9, [1, 15])


async def test_no_key_is_in_a_log_an_error_or_a_configuration_that_is_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    leaky = error(f"bad key {KEYS[0]}", param=KEYS[0], code=KEYS[0])
    with structlog.testing.capture_logs() as logs:
        for status in (400, 401, 404, 429, 500, 200):
            async with serving(failing(status, leaky)) as (provider, fake):
                failure = await failed(provider)
                assert fake.asked[0].key == KEYS[0]
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
    "tools": tool_calls(),
    "thinking": sse(chunk({"reasoning": "hä"}), chunk({"content": "ja"}), chunk(finish="length"), usage(1, 2)),
}


def content(events: Events) -> str:
    calls = (call for event in events for call in event.delta.tool_calls)
    words = "".join(event.delta.text + event.delta.reasoning for event in events)
    return words + "".join(sorted(f"{call.index}{call.id}{call.name}{call.arguments_json}" for call in calls))


@pytest.mark.slow
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("body", WHOLE.values(), ids=list(WHOLE))
async def test_a_stream_that_is_cut_at_any_byte_is_never_taken_for_whole(body: bytes, *, reset: bool) -> None:
    cuts = iter(range(len(body) + 1))
    outcomes = {"ok": 0, "failed": 0}
    async with serving(Script(body)) as (provider, _):
        whole = await run(provider)
    async with serving(lambda asked: Script(body, cut_after=next(cuts), reset=reset)) as (provider, _):
        for _ in range(len(body) + 1):
            seen: Events = []
            (outcome,) = await asyncio.gather(collect(provider, seen), return_exceptions=True)
            if outcome is not None:
                outcomes["failed"] += 1
                assert isinstance(outcome, Failure)
                assert outcome.reason_name in ("TRUNCATED", "PROVIDER_UNAVAILABLE")
                assert seen == whole[: len(seen)]
            else:
                outcomes["ok"] += 1
                assert content(seen) == content(whole)
                assert seen[-1].finished.reasons == whole[-1].finished.reasons
    assert outcomes["failed"] > len(body) / 2
    assert outcomes["ok"] >= 1


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("body", WHOLE.values(), ids=list(WHOLE))
async def test_a_stream_in_writes_of_any_size_says_the_same(body: bytes, size: int) -> None:
    async with serving(in_turn([Script(body), Script(body, write_bytes=size)])) as (provider, _):
        assert await run(provider) == await run(provider)
