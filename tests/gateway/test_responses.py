"""POST /v1/responses over real gRPC: whole answers, streams, and how each kind of failure is told."""

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
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from services.gateway.openai.reply import COMMENT, EVENTS, JSON
from services.gateway.openai.responses import events, whole
from tests.fakes import Events, delta, eventually, finished, saying, started
from tests.gateway.answers import Answer, received
from tests.gateway.faces import Faces, faces
from tests.gateway.openai.responses.reading import Reader, response
from tests.gateway.openai.responses.reading import events as events_of
from tests.gateway.scripts import broken_after, broken_before, hangs

SECRET = "s3cr3t"
Event = generation.GenerationEvent


async def misled() -> Events:
    yield started()
    raise Failure(reasons.ERROR_REASON_PROVIDER_REJECTED, "`messages[1].parts[0]` is odd", field="messages[1].parts[0]")


SCRIPTS = {
    "whole": saying(started(), delta("a"), delta("b"), finished(2)),
    "broken_before": broken_before,
    "broken_after": broken_after,
    "hangs": hangs,
    "misled": misled,
}


@pytest.fixture
async def served() -> AsyncIterator[Faces]:
    """A gateway in front of one worker."""
    with tempfile.TemporaryDirectory(prefix="g-") as directory:
        async with faces(pathlib.Path(directory), SCRIPTS) as made:
            yield made


def body(script: str, **fields: Any) -> HttpBody:
    return HttpBody(data=json.dumps({"model": "scripted", "input": SECRET, "user": script, **fields}).encode())


async def post(served: Faces, request: HttpBody) -> Answer:
    return await received(served.openai.CreateResponse(request))


async def test_a_whole_response_is_one_json_body(served: Faces) -> None:
    reply = await post(served, body("whole", metadata={"a": "b"}))
    assert (reply.code, len(reply.bodies), reply.bodies[0].content_type) == (grpc.StatusCode.OK, 1, JSON)
    told = response(json.loads(reply.data))
    assert told["output"][0]["content"][0]["text"] == "ab"
    assert (told["usage"]["output_tokens"], told["metadata"]) == (2, {"a": "b"})
    assert told["id"] == f"resp_{served.scene.request.generation_id}"
    assert (served.scene.request.api, served.scene.request.streamed) == ("openai", False)


async def test_a_streamed_response_is_events_that_amount_to_the_same(served: Faces) -> None:
    reply = await post(served, body("whole", stream=True))
    assert reply.bodies[0].content_type == EVENTS
    assert {one.content_type for one in reply.bodies[1:]} <= {""}
    reader = Reader().read(events_of(reply.data))
    assert reader.final["output"][0]["content"][0]["text"] == "ab"
    assert reader.final["id"] == f"resp_{served.scene.request.generation_id}"
    assert served.scene.request.streamed


async def test_nothing_is_written_before_there_is_content(served: Faces) -> None:
    gate = asyncio.Event()

    async def waits() -> Events:
        yield started()
        await gate.wait()
        yield delta("a")
        yield finished(1)

    served.scene.providers[0].scripts = {"waits": waits}
    call = served.openai.CreateResponse(body("waits", stream=True))
    reading = asyncio.create_task(call.read())
    await eventually(lambda: served.scene.providers[0].running == 1, seconds=30)
    assert not reading.done()
    gate.set()
    first = events_of((await reading).data)
    assert [event["type"] for event in first][:2] == ["response.created", "response.in_progress"]
    assert first[-1]["type"] != "response.in_progress", "content came with them"


def nested(levels: int) -> dict[str, Any]:
    return {"a": nested(levels - 1)} if levels else {}


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": {"type": "function", "name": "f", "more": nested(300)}},
        {"tools": [{"type": "function", "name": "f", "parameters": nested(252)}]},
    ],
)
async def test_what_is_too_deep_to_be_repeated_is_refused_before_it_takes_any_room(
    served: Faces, fields: dict[str, Any]
) -> None:
    room = served.scene.relay._room
    reply = await post(served, body("whole", **{"tools": [{"type": "function", "name": "f"}], **fields}))
    assert (reply.metadata["x-http-status"], "nested too deeply" in reply.json["error"]["message"]) == ("400", True)
    assert served.scene.relay._room == room


@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_before_the_first_byte_is_an_http_status(served: Faces, stream: bool) -> None:
    reply = await post(served, body("broken_before", stream=stream))
    assert reply.code == grpc.StatusCode.OK
    assert (reply.metadata["x-http-status"], reply.metadata["retry-after"]) == ("503", "3")
    assert reply.json["error"]["code"] == "server_is_overloaded"
    assert served.scene.request.outcome == ledger.OUTCOME_ERROR


async def test_a_failure_after_the_first_byte_is_an_error_and_a_failed_response(served: Faces) -> None:
    reply = await post(served, body("broken_after", stream=True))
    assert reply.code == grpc.StatusCode.OK
    assert "x-http-status" not in reply.metadata
    found = events_of(reply.data)
    assert found[-2]["error"]["code"] == "server_is_overloaded"
    reader = Reader().read(found)
    assert (reader.final["status"], reader.final["output"][0]["status"]) == ("failed", "incomplete")


async def test_a_failure_in_the_middle_of_a_whole_response_is_an_http_status(served: Faces) -> None:
    reply = await post(served, body("broken_after"))
    assert reply.metadata["x-http-status"] == "503"
    assert set(json.loads(reply.data)) == {"error"}


@pytest.mark.parametrize("stream", [True, False])
async def test_a_fault_of_ours_is_told_without_detail(
    served: Faces, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    def crash(*_: object, **__: object) -> bytes:
        raise ZeroDivisionError("the detail")

    if stream:
        monkeypatch.setattr(events.ResponseEvents, "_end", crash)
    else:
        monkeypatch.setattr(whole.Whole, "body", crash)
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
    error = events_of(reply.data)[-2]["error"] if stream else reply.json["error"]
    assert (error["type"], error["code"]) == ("server_error", "internal_error")
    assert b"the detail" not in reply.data
    assert SECRET not in repr(logs)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"tools": [{"type": "function", "name": "f", "parameters": []}]}, "tools[0].parameters"),
        ({"response_format": {"type": "text"}}, "response_format"),
        ({"messages": []}, "messages"),
        ({"tools": [{"type": "function", "name": "f g"}]}, "tools[0].name"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"instructions": "x", "input": [{"role": "user", "content": "x"}], "user": "misled"}, "input[0].content"),
    ],
)
async def test_a_mistake_has_the_callers_name(served: Faces, fields: dict[str, Any], param: str) -> None:
    reply = await post(served, body("whole", **fields))
    assert (reply.metadata["x-http-status"], reply.json["error"]["param"]) == ("400", param)
    assert f"`{param}`" in reply.json["error"]["message"]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"model": "scripted"}'])
async def test_what_is_no_request_is_refused_and_not_recorded(served: Faces, data: bytes) -> None:
    reply = await post(served, HttpBody(data=data))
    assert (reply.code, reply.metadata["x-http-status"]) == (grpc.StatusCode.OK, "400")
    assert served.scene.book.records == []


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_the_generation(served: Faces, stream: bool) -> None:
    call = served.openai.CreateResponse(body("hangs", stream=stream))
    provider = served.scene.providers[0]
    await eventually(lambda: bool(served.scene.router.said("first_content")), seconds=30)
    call.cancel()
    await eventually(lambda: bool(served.scene.book.records), seconds=30)
    assert served.scene.request.outcome == ledger.OUTCOME_CANCELLED
    await eventually(lambda: provider.closed == ["hangs"], seconds=30)


@pytest.mark.parametrize("stream", [True, False])
async def test_what_a_worker_left_out_is_told_in_the_words_of_this_api(served: Faces, stream: bool) -> None:
    served.scene.router.drop_unsupported = True
    asked = {"seed": 1, "reasoning": {"effort": "low"}, "text": {"verbosity": "low"}, "min_p": 0.1}
    reply = await post(served, body("whole", stream=stream, **asked))
    assert set(reply.metadata["x-hybrid-dropped"].split(",")) == {"seed", "reasoning.effort", "min_p", "text.verbosity"}


async def test_a_failure_after_a_comment_is_told_in_order() -> None:
    gate = asyncio.Event()

    async def late() -> Events:
        yield started()
        await gate.wait()
        raise Failure(reasons.ERROR_REASON_PROVIDER_OVERLOADED, "busy")

    with tempfile.TemporaryDirectory(prefix="g-") as directory:
        async with faces(pathlib.Path(directory), {"late": late}, keep_alive_seconds=0.02) as served:
            call = served.openai.CreateResponse(body("late", stream=True))
            written = aiter(call)
            data = (await asyncio.wait_for(anext(written), timeout=5)).data
            assert data == COMMENT
            gate.set()
            data += b"".join([one.data async for one in written])
    reader = Reader().read(events_of(data.replace(COMMENT, b"")))
    assert reader.types == ["response.created", "response.in_progress", "error", "response.failed"]
