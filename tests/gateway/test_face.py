"""The OpenAI face over real gRPC: whole answers, streams, and how each kind of failure is told."""

import asyncio
import json
import pathlib
import tempfile
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import structlog
from google.api.httpbody_pb2 import HttpBody
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.gateway.v1 import openai_service_pb2 as openai
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis import status
from services.gateway.attempt import CREDIT_BYTES
from services.gateway.openai.chat import answer, response
from services.gateway.openai.reply import EVENTS, JSON
from services.workers.provider import AttemptContext, Embedded
from tests.fakes import Events, delta, eventually, finished, saying, started
from tests.gateway.answers import Answer, received
from tests.gateway.faces import Faces, faces
from tests.gateway.scripts import TWO, broken_after, broken_before, floods, hangs

SECRET = "s3cr3t"
Event = generation.GenerationEvent
STOP, LENGTH = generation.FINISH_REASON_STOP, generation.FINISH_REASON_LENGTH


SCRIPTS = {
    "whole": saying(started(), delta("a"), delta("b"), finished(2)),
    "two": TWO,
    "broken_before": broken_before,
    "broken_after": broken_after,
    "hangs": hangs,
    "floods": floods,
}


@pytest.fixture
async def served() -> AsyncIterator[Faces]:
    """A gateway in front of one worker."""
    with tempfile.TemporaryDirectory(prefix="g-") as directory:
        async with faces(pathlib.Path(directory), SCRIPTS) as made:
            yield made


def body(script: str, **fields: Any) -> HttpBody:
    chat = {"model": "scripted", "messages": [{"role": "user", "content": SECRET}], "user": script, **fields}
    return HttpBody(content_type="application/json", data=json.dumps(chat).encode())


async def post(served: Faces, request: HttpBody) -> Answer:
    return await received(served.openai.CreateChatCompletion(request))


async def test_a_whole_answer_is_one_json_body(served: Faces) -> None:
    reply = await post(served, body("whole"))
    assert (reply.code, len(reply.bodies), reply.bodies[0].content_type) == (grpc.StatusCode.OK, 1, JSON)
    assert "x-http-status" not in reply.metadata
    assert reply.json["choices"][0]["message"]["content"] == "ab"
    assert reply.json["usage"]["completion_tokens"] == 2
    assert reply.json["id"] == f"chatcmpl-{served.scene.request.generation_id}"
    assert (served.scene.request.api, served.scene.request.streamed) == ("openai", False)


async def test_choices_come_apart_in_a_whole_answer(served: Faces) -> None:
    choices = (await post(served, body("two"))).json["choices"]
    assert [(one["index"], one["message"]["content"], one["finish_reason"]) for one in choices] == [
        (0, "a", "stop"),
        (1, "xy", "length"),
    ]


async def test_choices_come_apart_in_a_stream(served: Faces) -> None:
    reply = await post(served, body("two", stream=True))
    assert reply.bodies[0].content_type == EVENTS
    assert {one.content_type for one in reply.bodies[1:]} <= {""}
    *chunks, done = reply.events
    assert done == "[DONE]"
    texts, ends = {0: "", 1: ""}, {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["delta"].get("content") or ""
            if choice["finish_reason"]:
                ends[choice["index"]] = choice["finish_reason"]
    assert texts == {0: "a", 1: "xy"}
    assert ends == {0: "stop", 1: "length"}
    assert all("usage" not in chunk for chunk in chunks), "nobody asked for it"


async def test_usage_comes_last_and_only_when_asked_for(served: Faces) -> None:
    reply = await post(served, body("two", stream=True, stream_options={"include_usage": True}))
    *chunks, last, done = reply.events
    assert done == "[DONE]"
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 3)
    assert all(chunk["usage"] is None for chunk in chunks)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_before_the_first_byte_is_an_http_status(served: Faces, stream: bool) -> None:
    reply = await post(served, body("broken_before", stream=stream))
    assert reply.code == grpc.StatusCode.OK
    assert (reply.metadata["x-http-status"], reply.metadata["retry-after"]) == ("503", "3")
    assert reply.bodies[0].content_type == JSON
    assert reply.json["error"]["code"] == "server_is_overloaded"
    assert served.scene.request.outcome == ledger.OUTCOME_ERROR


async def test_a_failure_after_the_first_byte_is_an_event_and_no_done(served: Faces) -> None:
    reply = await post(served, body("broken_after", stream=True))
    assert reply.code == grpc.StatusCode.OK
    assert "x-http-status" not in reply.metadata
    assert reply.events[0]["choices"][0]["delta"]["content"] == "a"
    assert reply.events[-1]["error"]["code"] == "server_is_overloaded"


async def test_a_failure_in_the_middle_of_a_whole_answer_is_an_http_status(served: Faces) -> None:
    reply = await post(served, body("broken_after"))
    assert reply.metadata["x-http-status"] == "503"
    assert "choices" not in reply.json


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_fault_of_ours_is_told_without_detail_and_logged_without_content(
    served: Faces, monkeypatch: pytest.MonkeyPatch, moment: str, stream: bool
) -> None:
    def crash(*_: object, **__: object) -> bytes:
        raise ZeroDivisionError("the detail")

    if stream:
        monkeypatch.setattr(response.ChatChunks, "_bytes" if moment == "before" else "_end", crash)
    else:
        monkeypatch.setattr(answer, "completion", crash)
    gate = asyncio.Event()

    async def in_two_batches() -> Events:
        yield started()
        yield delta("a")
        await gate.wait()
        yield finished()

    served.scene.providers[0].scripts = {"two batches": in_two_batches}
    with structlog.testing.capture_logs() as logs:
        posted = asyncio.create_task(post(served, body("two batches", stream=stream)))
        await eventually(lambda: bool(served.scene.router.said("first_content")), seconds=30)
        gate.set()
        reply = await posted
    assert reply.code == grpc.StatusCode.OK
    error = reply.events[-1]["error"] if stream and moment == "after" else reply.json["error"]
    assert (error["type"], error["code"]) == ("server_error", "internal_error")
    assert b"detail" not in reply.data
    assert reply.metadata.get("x-http-status") == (None if stream and moment == "after" else "500")
    crashed = [line for line in logs if line["event"] == "openai.crashed"]
    assert [line["error"] for line in crashed] == ["ZeroDivisionError"]
    assert SECRET not in repr(logs)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"model": "scripted"}'])
async def test_what_is_no_request_is_refused_and_not_recorded(served: Faces, data: bytes) -> None:
    reply = await post(served, HttpBody(data=data))
    assert (reply.code, reply.metadata["x-http-status"]) == (grpc.StatusCode.OK, "400")
    assert served.scene.book.records == []


@pytest.mark.parametrize("script", ["hangs", "floods"])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_the_generation(served: Faces, script: str, stream: bool) -> None:
    """`floods` streamed and unread: the gateway is stuck in a write at that moment."""
    call = served.openai.CreateChatCompletion(body(script, stream=stream))
    provider = served.scene.providers[0]
    if stream:
        await call.read()
    await eventually(lambda: bool(served.scene.router.said("first_content")), seconds=30)
    call.cancel()
    await eventually(lambda: bool(served.scene.book.records), seconds=1)
    assert served.scene.request.outcome == ledger.OUTCOME_CANCELLED
    await eventually(lambda: provider.closed == [script], seconds=30)
    assert not served.scene.placements._leases


async def rest(call: Any) -> None:
    """Read what is left of a stream."""
    while await call.read() is not grpc.aio.EOF:
        pass


async def stuck_client(served: Faces) -> Any:
    """A call whose client has read once and no more, until the gateway is stuck in a write."""
    call = served.openai.CreateChatCompletion(body("floods", stream=True))
    await call.read()
    session = served.scene.sessions.to(served.scene.router.addresses[0])

    now = asyncio.get_running_loop().time

    def stuck() -> bool:
        """Whether the window is used up and the reader is in one and the same write for a while."""
        return any(
            attempt._owed + sum(event.ByteSize() for event in attempt._inbox) >= CREDIT_BYTES
            and attempt.taken_at is not None
            and now() - attempt.taken_at > 0.2
            for attempt in session._attempts.values()
        )

    await eventually(stuck, seconds=10)
    return call


def sweep(served: Faces, seconds: float) -> None:
    """Look after readers as if so many seconds had passed."""
    now = asyncio.get_running_loop().time() + seconds
    served.scene.sessions.to(served.scene.router.addresses[0]).sweep(now=now, idle_seconds=60, slow_reader_seconds=60)


async def test_a_client_that_has_not_read_for_long_is_told_when_it_reads_on(served: Faces) -> None:
    call = await stuck_client(served)
    sweep(served, 61)
    await eventually(lambda: served.scene.providers[0].closed == ["floods"], seconds=30)
    last = b""
    while (one := await asyncio.wait_for(call.read(), timeout=5)) is not grpc.aio.EOF:
        last = one.data
    assert json.loads(last.decode().split("\n\n")[-2].removeprefix("data: "))["error"]["code"] == "slow_consumer"
    assert await call.code() == grpc.StatusCode.OK
    assert served.scene.request.error_reason == "SLOW_CONSUMER"


async def test_a_client_that_leaves_a_blocked_write_is_no_fault_of_ours(served: Faces) -> None:
    with structlog.testing.capture_logs() as logs:
        for _ in range(5):
            call = await stuck_client(served)
            call.cancel()
            await eventually(lambda: not served.scene.placements._leases, seconds=30)
        await eventually(lambda: len([line for line in logs if line["event"] == "rpc.finished"]) == 5, seconds=30)
    assert {line["code"] for line in logs if line["event"] == "rpc.finished"} == {"Cancelled"}
    assert {line["log_level"] for line in logs} == {"info"}
    assert {record.request.outcome for record in served.scene.book.records} == {ledger.OUTCOME_CANCELLED}


async def test_a_client_that_never_reads_on_is_ended(served: Faces) -> None:
    call = await stuck_client(served)
    sweep(served, 3601)
    await eventually(lambda: bool(served.scene.book.records), seconds=1)
    assert served.scene.request.error_reason == "SLOW_CONSUMER"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(rest(call), timeout=5)
    assert status.from_rpc_error(caught.value).reason_name == "SLOW_CONSUMER"


async def embed(served: Faces, **fields: Any) -> Answer:
    asked = {"model": "scripted", "input": SECRET, **fields}
    return await received(served.openai.CreateEmbedding(HttpBody(data=json.dumps(asked).encode())))


async def test_vectors_are_openais_json(served: Faces) -> None:
    reply = await embed(served, input=["a", "b"], user="u")
    assert (reply.code, reply.bodies[0].content_type) == (grpc.StatusCode.OK, JSON)
    assert [(one["index"], one["embedding"]) for one in reply.json["data"]] == [(0, [1.0]), (1, [1.0])]
    assert reply.json["usage"] == {"prompt_tokens": 1, "total_tokens": 1}
    assert (served.scene.request.operation, served.scene.request.user) == ("embeddings", "u")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"truncate": 1}, "truncate"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": ["a", []]}, "input[1]"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 1 << 16, "input": ["a"] * 2048}, "dimensions"),
        ({"input": [[1]]}, "input[0]"),  # the scripted worker takes no token ids
        ({"input": ["a", [1]]}, "input[1]"),
    ],
)
async def test_a_mistake_in_an_embedding_has_openais_name(served: Faces, fields: dict[str, Any], param: str) -> None:
    reply = await embed(served, **fields)
    error = reply.json["error"]
    assert (reply.metadata["x-http-status"], error["param"], error["type"]) == ("400", param, "invalid_request_error")
    assert f"`{param}`" in error["message"]


async def test_inputs_that_are_too_large_in_all_are_413(served: Faces) -> None:
    reply = await embed(served, input=["x" * (9 << 20)] * 2)
    assert (reply.metadata["x-http-status"], reply.json["error"]["param"]) == ("413", "input")


async def test_vectors_of_another_kind_are_a_failure_of_the_provider(served: Faces) -> None:
    async def broken(asked: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
        return Embedded([embedding.Embedding(values=[float("nan")])], generation.Usage(), "m")

    served.scene.providers[0].embeds = {"": broken}
    reply = await embed(served)
    assert (reply.metadata["x-http-status"], reply.json["error"]["code"]) == ("502", "provider_malformed")


async def test_a_client_that_leaves_ends_the_work_at_the_worker(served: Faces) -> None:
    async def hangs_for_ever(asked: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
        return await asyncio.get_running_loop().create_future()

    worker = served.scene.providers[0]
    worker.embeds = {"": hangs_for_ever}
    call = served.openai.CreateEmbedding(HttpBody(data=b'{"model": "scripted", "input": "a"}'))
    await eventually(lambda: worker.running == 1, seconds=30)
    call.cancel()
    await eventually(lambda: worker.running == 0, seconds=1)
    await eventually(lambda: bool(served.scene.book.records), seconds=1)
    assert served.scene.request.outcome == ledger.OUTCOME_CANCELLED


@pytest.mark.parametrize("stream", [True, False])
async def test_what_a_worker_left_out_is_told_in_openais_words_before_the_first_byte(
    served: Faces, stream: bool
) -> None:
    begun = generation.Started(provider_model="m", dropped_fields=["sampling.seed", "logprobs"])
    served.scene.providers[0].scripts = SCRIPTS | {"drops": saying(Event(started=begun), delta("a"), finished(1))}
    reply = await post(served, body("drops", stream=stream))
    assert reply.metadata["x-hybrid-dropped"] == "seed,logprobs"
    assert "x-hybrid-dropped" not in (await post(served, body("whole", stream=stream))).metadata


async def test_models_are_listed_and_found(served: Faces) -> None:
    listed = [one async for one in served.openai.ListModels(openai.OpenAIServiceListModelsRequest())]
    assert [one["id"] for one in json.loads(listed[0].data)["data"]] == ["a/b:c", "b", "scripted"]
    found = [one async for one in served.openai.GetModel(openai.OpenAIServiceGetModelRequest(id="a/b:c"))]
    assert json.loads(found[0].data)["id"] == "a/b:c"
    call = served.openai.GetModel(openai.OpenAIServiceGetModelRequest(id="nobody"))
    error = json.loads((await call.read()).data)["error"]
    assert dict(await call.initial_metadata() or ())["x-http-status"] == "404"
    assert error["code"] == "model_not_found"
