"""What an answer of the OpenAI face says beside its body: headers, deadlines, comments while it is silent."""

import asyncio
import contextlib
import json
import pathlib
import tempfile
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.gateway.v1 import openai_service_pb2 as openai
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis import status
from services.chassis import traceparent as w3c
from services.chassis.failure import Failure
from services.gateway.attempt import CREDIT_BYTES
from services.gateway.openai import reply as answering
from services.gateway.openai.reply import COMMENT, EVENTS, JSON
from tests.fakes import Events, Script, delta, eventually, finished, saying, started
from tests.gateway.answers import received
from tests.gateway.faces import Faces, faces
from tests.gateway.scene import DEADLINES
from tests.gateway.scripts import broken_before, floods, hangs, silent
from tests.gateway.test_face import stuck_client, sweep

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
OF_ROUTE = ("x-hybrid-provider", "x-hybrid-model", "x-hybrid-attempts", "x-hybrid-queue-ms", "x-hybrid-worker")
REST = ("x-envoy-original-path", "/v1/chat/completions")
SILENCE = 0.05


SCRIPTS: dict[str, Script] = {
    "whole": saying(started(), delta("a"), delta("b"), finished(2)),
    "broken": broken_before,
    "hangs": silent,
    "hangs after a piece": hangs,
}


@contextlib.asynccontextmanager
async def serving(*workers: dict[str, Script], **settings: Any) -> AsyncIterator[Faces]:
    with tempfile.TemporaryDirectory(prefix="g-") as directory:
        async with faces(pathlib.Path(directory), *(workers or (SCRIPTS,)), **settings) as made:
            yield made


@pytest.fixture
async def served() -> AsyncIterator[Faces]:
    """A gateway in front of one worker."""
    async with serving() as made:
        yield made


def chat(script: str, **fields: Any) -> HttpBody:
    asked = {"model": "scripted", "messages": [{"role": "user", "content": "hi"}], "user": script, **fields}
    return HttpBody(data=json.dumps(asked).encode())


def inputs(script: str, **fields: Any) -> HttpBody:
    return HttpBody(data=json.dumps({"model": "scripted", "input": "hi", "user": script, **fields}).encode())


def prompts(*scripts: str, **fields: Any) -> HttpBody:
    return HttpBody(data=json.dumps({"model": "scripted", "prompt": scripts, **fields}).encode())


def within(seconds: float) -> tuple[tuple[str, str], ...]:
    """Metadata of a call over HTTP that has a deadline."""
    return REST, ("x-hybrid-timeout-ms", str(round(seconds * 1000)))


def asking(served: Faces, *metadata: tuple[str, str]) -> dict[str, Callable[[], Any]]:
    """A call for each kind of answer."""
    return {
        "chat": lambda: served.openai.CreateChatCompletion(chat("whole"), metadata=metadata),
        "chat stream": lambda: served.openai.CreateChatCompletion(chat("whole", stream=True), metadata=metadata),
        "completions": lambda: served.openai.CreateCompletion(prompts("whole"), metadata=metadata),
        "responses": lambda: served.openai.CreateResponse(inputs("whole"), metadata=metadata),
        "embeddings": lambda: served.openai.CreateEmbedding(inputs(""), metadata=metadata),
    }


@pytest.mark.parametrize("kind", ["chat", "chat stream", "completions", "responses", "embeddings"])
async def test_every_answer_tells_how_it_was_served(served: Faces, kind: str) -> None:
    reply = await received(asking(served)[kind]())
    told = {name: reply.metadata.get(name) for name in OF_ROUTE}
    queue = int(told.pop("x-hybrid-queue-ms") or "-1")
    assert told == {
        "x-hybrid-provider": "scripted",
        "x-hybrid-model": "scripted",
        "x-hybrid-attempts": "1",
        "x-hybrid-worker": None,
    }
    assert 0 <= queue <= int(reply.metadata["openai-processing-ms"]) < 5000


async def test_the_worker_is_told_where_the_configuration_allows_it() -> None:
    async with serving(show_worker=True) as served:
        for kind, ask in asking(served).items():
            assert (await received(ask())).metadata["x-hybrid-worker"] == "w0", kind


@pytest.mark.parametrize("stream", [True, False])
async def test_an_attempt_elsewhere_counts_and_the_headers_are_of_the_one_that_served(stream: bool) -> None:
    async with serving({"s": broken_before}, {"s": SCRIPTS["whole"]}, show_worker=True) as served:
        reply = await received(served.openai.CreateChatCompletion(chat("s", stream=stream)))
        assert (reply.metadata["x-hybrid-attempts"], reply.metadata["x-hybrid-worker"]) == ("2", "w1")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_tells_where_it_was_tried_last(stream: bool) -> None:
    async with serving({"s": broken_before}, {"s": broken_before}, show_worker=True) as served:
        reply = await received(served.openai.CreateChatCompletion(chat("s", stream=stream)))
        assert (reply.metadata["x-http-status"], reply.metadata["retry-after"]) == ("503", "3")
        assert (reply.metadata["x-hybrid-attempts"], reply.metadata["x-hybrid-worker"]) == ("2", "w1")


async def test_what_was_never_placed_has_a_trace_and_a_time_and_nothing_else(served: Faces) -> None:
    for request in (HttpBody(data=b"{"), chat("whole", temperature=9)):
        metadata = (await received(served.openai.CreateChatCompletion(request))).metadata
        assert metadata["x-http-status"] == "400"
        assert w3c.accepted(metadata["traceparent"])
        assert int(metadata["openai-processing-ms"]) >= 0
        assert not set(OF_ROUTE) & set(metadata)


async def test_models_have_a_trace_and_a_time_too(served: Faces) -> None:
    for call in (
        served.openai.ListModels(openai.OpenAIServiceListModelsRequest(), metadata=(("traceparent", TRACEPARENT),)),
        served.openai.GetModel(openai.OpenAIServiceGetModelRequest(id="b"), metadata=(("traceparent", TRACEPARENT),)),
        served.openai.GetModel(openai.OpenAIServiceGetModelRequest(id="?"), metadata=(("traceparent", TRACEPARENT),)),
    ):
        metadata = (await received(call)).metadata
        assert metadata["traceparent"] == TRACEPARENT
        assert int(metadata["openai-processing-ms"]) >= 0


@pytest.mark.parametrize("kind", ["chat", "chat stream", "completions", "responses", "embeddings"])
@pytest.mark.parametrize("sent", [TRACEPARENT, None, "00-malformed"])
async def test_the_trace_of_the_answer_is_that_of_the_ledger(served: Faces, kind: str, sent: str | None) -> None:
    metadata = (("traceparent", sent),) if sent else ()
    reply = await received(asking(served, *metadata)[kind]())
    traceparent = reply.metadata["traceparent"]
    assert w3c.accepted(traceparent) == traceparent
    assert served.scene.request.trace_id == w3c.trace_id(traceparent)
    assert (traceparent == sent) == (sent == TRACEPARENT)


@pytest.mark.parametrize("value", ["0", "soon"])
async def test_a_deadline_that_is_none_is_a_400_that_names_the_header(served: Faces, value: str) -> None:
    metadata = (REST, ("x-hybrid-timeout-ms", value))
    for kind, ask in asking(served, *metadata).items():
        reply = await received(ask())
        error = reply.json["error"]
        assert (reply.metadata["x-http-status"], error["param"]) == ("400", "x-hybrid-timeout-ms"), kind
        assert error["message"].startswith("The header `x-hybrid-timeout-ms` must be")
    assert served.scene.book.records == []


@pytest.mark.parametrize("stream", [True, False])
async def test_a_deadline_that_passes_before_the_first_byte_is_a_504_and_ends_the_work(
    served: Faces, stream: bool
) -> None:
    provider = served.scene.providers[0]
    for seconds in DEADLINES:
        served.scene.book.records.clear()
        request = chat("hangs", stream=stream)
        reply = await received(served.openai.CreateChatCompletion(request, metadata=within(seconds)))
        error = reply.json["error"]
        assert (reply.metadata["x-http-status"], error["type"], error["code"]) == ("504", "timeout_error", "timeout")
        late = int(reply.metadata["openai-processing-ms"]) / 1000 - seconds
        assert late >= -0.05
        assert served.scene.request.outcome == ledger.OUTCOME_DEADLINE
        if provider.contexts and late < 1:
            break
    assert late < 1
    await eventually(lambda: "hangs" in provider.closed and provider.running == 0, seconds=1)


async def test_a_deadline_that_passes_while_a_place_is_waited_for_is_a_504(served: Faces) -> None:
    served.scene.router.silent = True
    metadata = (REST, ("x-hybrid-timeout-ms", "200"))
    reply = await received(served.openai.CreateChatCompletion(chat("whole"), metadata=metadata))
    assert (reply.metadata["x-http-status"], reply.json["error"]["code"]) == ("504", "timeout")
    assert not set(OF_ROUTE) & set(reply.metadata)


async def test_a_deadline_that_passes_in_mid_stream_is_an_event(served: Faces) -> None:
    request = chat("hangs after a piece", stream=True)
    for seconds in DEADLINES:
        reply = await received(served.openai.CreateChatCompletion(request, metadata=within(seconds)))
        if "x-http-status" not in reply.metadata:
            break
    assert "x-http-status" not in reply.metadata
    assert reply.events[0]["choices"][0]["delta"]["content"] == "a"
    assert reply.events[-1]["error"]["type"] == "timeout_error"
    provider = served.scene.providers[0]
    await eventually(lambda: "hangs after a piece" in provider.closed and provider.running == 0, seconds=1)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_deadline_bounds_a_response_and_all_prompts_of_a_completion(served: Faces, stream: bool) -> None:
    provider = served.scene.providers[0]
    for ask, request, attempts in (
        (served.openai.CreateResponse, inputs("hangs", stream=stream), 1),
        (served.openai.CreateCompletion, prompts("hangs", "hangs", stream=stream), 2),
    ):
        for seconds in DEADLINES:
            provider.contexts.clear()
            served.scene.book.records.clear()
            reply = await received(ask(request, metadata=within(seconds)))
            assert (reply.metadata["x-http-status"], reply.json["error"]["type"]) == ("504", "timeout_error")
            outcomes = [record.request.outcome for record in served.scene.book.records]
            assert len(outcomes) == attempts
            # The first prompt whose time is up ends the other one, if its own has not ended it.
            assert set(outcomes) <= {ledger.OUTCOME_DEADLINE, ledger.OUTCOME_CANCELLED}
            assert ledger.OUTCOME_DEADLINE in outcomes
            if len(provider.contexts) == attempts:
                break
        assert len(provider.contexts) == attempts
        await eventually(lambda: provider.running == 0, seconds=1)


async def test_a_deadline_bounds_an_embedding(served: Faces) -> None:
    working = asyncio.Event()

    async def never(*_: object) -> Any:
        working.set()
        await asyncio.get_running_loop().create_future()

    provider = served.scene.providers[0]
    provider.embeds = {"never": never}
    for seconds in DEADLINES:
        reply = await received(served.openai.CreateEmbedding(inputs("never"), metadata=within(seconds)))
        assert (reply.metadata["x-http-status"], reply.json["error"]["type"]) == ("504", "timeout_error")
        if working.is_set():
            break
    await eventually(lambda: "never" in provider.closed and provider.running == 0, seconds=1)


def gated(gate: asyncio.Event, script: Script) -> Script:
    """A script that says nothing before a gate opens."""

    async def late() -> Events:
        await gate.wait()
        async with contextlib.aclosing(script()) as events:
            async for event in events:
                yield event

    return late


async def first(call: Any) -> HttpBody:
    """The first piece of an answer, in good time."""
    read: HttpBody = await asyncio.wait_for(call.read(), timeout=5)
    return read


async def test_a_stream_whose_first_token_is_slow_begins_with_a_comment() -> None:
    gate = asyncio.Event()
    async with serving({"late": gated(gate, SCRIPTS["whole"])}, keep_alive_seconds=SILENCE) as served:
        call = served.openai.CreateChatCompletion(chat("late", stream=True))
        assert await first(call) == HttpBody(content_type=EVENTS, data=COMMENT)
        gate.set()
        reply = await received(call)
    assert "x-http-status" not in reply.metadata
    assert (reply.metadata["x-hybrid-provider"], reply.metadata["x-hybrid-attempts"]) == ("scripted", "1")
    events = [event for event in reply.data.split(b"\n\n") if event and event != COMMENT.strip()]
    assert events[0].startswith(b'data: {"id":"chatcmpl-')
    assert events[-1] == b"data: [DONE]"


async def test_a_stream_that_waits_for_its_place_begins_with_a_comment_and_tells_no_route() -> None:
    async with serving(keep_alive_seconds=SILENCE, show_worker=True) as served:
        served.scene.router.silent = True
        served.scene.placements.patience_seconds = 0.5  # then the gateway places by itself
        call = served.openai.CreateChatCompletion(chat("whole", stream=True))
        assert (await first(call)).data == COMMENT
        reply = await received(call)
    assert not set(OF_ROUTE) & set(reply.metadata)
    assert w3c.accepted(reply.metadata["traceparent"])
    assert reply.data.endswith(b"data: [DONE]\n\n")


async def test_a_failure_after_a_comment_is_an_event() -> None:
    gate = asyncio.Event()
    async with serving({"late": gated(gate, broken_before)}, keep_alive_seconds=SILENCE) as served:
        call = served.openai.CreateChatCompletion(chat("late", stream=True))
        assert (await first(call)).data == COMMENT
        gate.set()
        reply = await received(call)
    assert reply.code is grpc.StatusCode.OK
    assert not {"x-http-status", "retry-after"} & set(reply.metadata)
    last = reply.data.removesuffix(b"\n\n").split(b"\n\n")[-1]
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "server_is_overloaded"


async def test_an_attempt_elsewhere_still_follows_a_comment_unseen() -> None:
    gate = asyncio.Event()
    async with serving(
        {"s": gated(gate, broken_before)}, {"s": SCRIPTS["whole"]}, keep_alive_seconds=SILENCE
    ) as served:
        call = served.openai.CreateChatCompletion(chat("s", stream=True))
        assert (await first(call)).data == COMMENT
        gate.set()
        reply = await received(call)
        assert [attempt.worker for attempt in served.scene.attempts] == ["w0", "w1"]
    assert b"error" not in reply.data
    assert reply.data.endswith(b"data: [DONE]\n\n")


async def test_a_whole_answer_has_no_comments() -> None:
    gate = asyncio.Event()
    async with serving({"late": gated(gate, SCRIPTS["whole"])}, keep_alive_seconds=SILENCE) as served:
        asyncio.get_running_loop().call_later(5 * SILENCE, gate.set)
        reply = await received(served.openai.CreateChatCompletion(chat("late")))
    assert (reply.bodies[0].content_type, len(reply.bodies)) == (JSON, 1)
    assert reply.json["choices"][0]["message"]["content"] == "ab"


async def test_comments_and_content_that_meet_all_the_time_break_nothing() -> None:
    async def dripping() -> Events:
        yield started()
        for number in range(50):
            yield delta(f"{number} ")
            await asyncio.sleep(0.002 * (number % 4))
        yield finished(50)

    async with serving({"s": dripping}, keep_alive_seconds=0.001) as served:
        calls = [received(served.openai.CreateChatCompletion(chat("s", stream=True))) for _ in range(8)]
        replies = await asyncio.wait_for(asyncio.gather(*calls), timeout=30)
    assert any(COMMENT in reply.data for reply in replies)
    for reply in replies:
        events = [event for event in reply.data.split(b"\n\n") if event.startswith(b"data: {")]
        pieces = [json.loads(event.removeprefix(b"data: "))["choices"][0]["delta"].get("content") for event in events]
        assert "".join(filter(None, pieces)) == "".join(f"{number} " for number in range(50))
        assert reply.code is grpc.StatusCode.OK


async def test_a_client_that_leaves_between_comments_ends_the_generation() -> None:
    async with serving(keep_alive_seconds=SILENCE) as served:
        call = served.openai.CreateChatCompletion(chat("hangs", stream=True))
        assert (await first(call)).data == COMMENT
        await eventually(lambda: served.scene.providers[0].running == 1, seconds=30)
        call.cancel()
        await eventually(lambda: served.scene.providers[0].closed == ["hangs"], seconds=1)
        await eventually(lambda: bool(served.scene.book.records), seconds=1)
        assert served.scene.request.outcome == ledger.OUTCOME_CANCELLED


@pytest.mark.parametrize("forsaken", [False, True])
async def test_comments_hide_no_client_that_does_not_read(forsaken: bool) -> None:
    async with serving({"floods": floods}, keep_alive_seconds=0.001) as served:
        call = await stuck_client(served)
        sweep(served, 3601 if forsaken else 61)
        await eventually(lambda: served.scene.providers[0].closed == ["floods"], seconds=30)
        if forsaken:
            await eventually(lambda: bool(served.scene.book.records), seconds=1)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await asyncio.wait_for(received(call), timeout=5)
            assert status.from_rpc_error(caught.value).reason_name == "SLOW_CONSUMER"
        else:
            reply = await asyncio.wait_for(received(call), timeout=5)
            assert b'"code":"slow_consumer"' in reply.bodies[-1].data
        assert served.scene.request.error_reason == "SLOW_CONSUMER"


@pytest.mark.parametrize("end", ["the client leaves", "the reader is evicted"])
async def test_a_comment_that_nobody_reads_is_given_up_with_its_call(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, end: str
) -> None:
    replies: list[answering.Reply] = []
    begin = answering.Reply.serve

    def serve(self: answering.Reply, *arguments: Any, **options: Any) -> None:
        replies.append(self)
        begin(self, *arguments, **options)

    monkeypatch.setattr(answering.Reply, "serve", serve)
    monkeypatch.setattr(answering, "COMMENT", b": %b\n\n" % (b"x" * CREDIT_BYTES))  # fills every buffer on the way
    async with serving(keep_alive_seconds=0.001) as served:
        call = served.openai.CreateChatCompletion(chat("hangs", stream=True))
        await first(call)
        since, seen = 0.0, None
        async with asyncio.timeout(30):  # until one and the same comment is being written for a while
            while seen is None or asyncio.get_running_loop().time() - since < 0.3:
                if replies[0]._comment is not seen:
                    since, seen = asyncio.get_running_loop().time(), replies[0]._comment
                await asyncio.sleep(0.01)
        await eventually(lambda: served.scene.providers[0].running == 1, seconds=30)
        if end == "the client leaves":
            call.cancel()
        else:
            (attempt,) = served.scene.sessions.to(served.scene.router.addresses[0])._attempts.values()
            attempt.evict(Failure(reasons.ERROR_REASON_SLOW_CONSUMER, "slow"))
        await eventually(lambda: served.scene.providers[0].closed == ["hangs"], seconds=1)
        await eventually(lambda: bool(served.scene.book.records), seconds=1)
        told = {"the client leaves": "CANCELLED", "the reader is evicted": "SLOW_CONSUMER"}
        assert served.scene.request.error_reason == told[end]
        assert seen.done()
        if end == "the reader is evicted":
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await asyncio.wait_for(received(call), timeout=5)
            assert status.from_rpc_error(caught.value).reason_name == "SLOW_CONSUMER"
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
