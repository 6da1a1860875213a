"""POST /v1/completions over real gRPC: one prompt or several, each a generation of its own, and one answer."""

import asyncio
import json
import pathlib
import tempfile
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis import status
from services.chassis.failure import Failure
from services.gateway.openai.completions.batch import MOST_AT_ONCE
from services.gateway.openai.reply import COMMENT, EVENTS, JSON
from tests.fakes import Events, ScriptedProvider, delta, eventually, finished, saying, started
from tests.gateway.answers import Answer, received
from tests.gateway.faces import Faces, faces
from tests.gateway.scripts import broken_before, floods, hangs, silent

Event = generation.GenerationEvent
WHOLE = {name: saying(started(), delta(name), delta("!"), finished(2)) for name in "abc"}


async def long_prompt() -> Events:
    yield started()
    raise Failure(reasons.ERROR_REASON_CONTEXT_TOO_LONG, "`prompt` is too long.", field="prompt")


async def long_answer() -> Events:
    yield started()
    raise Failure(reasons.ERROR_REASON_CONTEXT_TOO_LONG, "`max_output_tokens` is too much.", field="max_output_tokens")


@pytest.fixture
async def served() -> AsyncIterator[Faces]:
    """A gateway in front of one worker."""
    scripts = {**WHOLE, "broken": broken_before, "long": long_prompt, "much": long_answer}
    with tempfile.TemporaryDirectory(prefix="g-") as directory:
        async with faces(pathlib.Path(directory), {**scripts, "hangs": hangs, "silent": silent}) as made:
            yield made


def body(prompt: Any, **fields: Any) -> HttpBody:
    return HttpBody(data=json.dumps({"model": "scripted", "prompt": prompt, "user": "u", **fields}).encode())


async def post(served: Faces, request: HttpBody) -> Answer:
    answer = await received(served.openai.CreateCompletion(request))
    assert answer.code == grpc.StatusCode.OK
    return answer


def texts(answer: Answer) -> dict[int, str]:
    """What was streamed, by the choice's index."""
    said: dict[int, str] = {}
    for event in answer.events:
        for choice in event["choices"] if event != "[DONE]" and "choices" in event else ():
            said[choice["index"]] = said.get(choice["index"], "") + choice["text"]
    return said


def provider(served: Faces) -> ScriptedProvider:
    return served.scene.providers[0]


def outcomes(served: Faces) -> list[ledger.Outcome]:
    return [record.request.outcome for record in served.scene.book.records]


async def test_a_prompt_is_answered_with_text_and_recorded_as_a_completion(served: Faces) -> None:
    reply = await post(served, body("a", echo=True))
    assert (reply.kind, reply.json["object"]) == (JSON, "text_completion")
    assert [(one["text"], one["finish_reason"]) for one in reply.json["choices"]] == [("aa!", "stop")]
    assert reply.json["usage"]["completion_tokens"] == 2
    request = served.scene.request
    assert reply.json["id"] == f"cmpl-{request.generation_id}"
    assert (request.api, request.operation, request.streamed) == ("openai", "completions", False)
    assert (request.user, request.outcome) == ("u", ledger.OUTCOME_SUCCESS)


async def test_a_stream_ends_with_the_usage_that_was_asked_for_and_done(served: Faces) -> None:
    reply = await post(served, body("a", stream=True, stream_options={"include_usage": True}))
    assert reply.kind == EVENTS
    *_, last, done = reply.events
    assert (texts(reply), done) == ({0: "a!"}, "[DONE]")
    assert last["usage"]["total_tokens"] == 3
    assert served.scene.request.streamed


async def test_usage_that_is_asked_for_all_along_comes_once_at_the_end(served: Faces) -> None:
    asked = {"include_usage": True, "continuous_usage_stats": True}
    *pieces, last, _ = (await post(served, body("a", stream=True, stream_options=asked))).events
    assert [piece["usage"] for piece in pieces] == [None] * len(pieces)
    assert last["usage"]["total_tokens"] == 3


@pytest.mark.parametrize("stream", [True, False])
async def test_each_of_several_prompts_is_a_generation_with_its_own_record(served: Faces, stream: bool) -> None:
    reply = await post(served, body(["a", "b", "c", "a"], stream=stream, stream_options={"include_usage": True}))
    if stream:
        assert texts(reply) == {0: "a!", 1: "b!", 2: "c!", 3: "a!"}
        *_, last, done = reply.events
        assert done == "[DONE]"
    else:
        last = reply.json
        assert [(one["index"], one["text"]) for one in last["choices"]] == [(0, "a!"), (1, "b!"), (2, "c!"), (3, "a!")]
    assert (last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]) == (4, 8)
    records = [record.request for record in served.scene.book.records]
    assert len({record.generation_id for record in records}) == 4
    assert last["id"].removeprefix("cmpl-") in {record.generation_id for record in records}
    assert {(record.operation, record.outcome) for record in records} == {("completions", ledger.OUTCOME_SUCCESS)}


async def test_prompts_run_side_by_side_up_to_a_bound(served: Faces) -> None:
    gate = asyncio.Event()

    async def waits() -> Events:
        yield started()
        await gate.wait()
        yield delta("x")
        yield finished(1)

    provider(served).scripts = {"waits": waits}
    asked = asyncio.create_task(post(served, body(["waits"] * (2 * MOST_AT_ONCE + 1))))
    await eventually(lambda: provider(served).running == MOST_AT_ONCE, seconds=30)
    gate.set()
    choices = (await asked).json["choices"]
    assert [one["index"] for one in choices] == list(range(2 * MOST_AT_ONCE + 1))
    assert provider(served).most_running == MOST_AT_ONCE


@pytest.mark.parametrize("stream", [True, False])
async def test_the_first_failure_before_any_byte_is_an_http_status_and_ends_the_others(
    served: Faces, stream: bool
) -> None:
    reply = await post(served, body(["silent", "broken", "silent"], stream=stream))
    assert (reply.metadata["x-http-status"], reply.metadata["retry-after"]) == ("503", "3")
    assert reply.json["error"]["code"] == "server_is_overloaded"
    await eventually(lambda: len(provider(served).closed) == 3, seconds=30)
    assert sorted(outcomes(served)) == sorted(
        [ledger.OUTCOME_ERROR, ledger.OUTCOME_CANCELLED, ledger.OUTCOME_CANCELLED]
    )
    assert not served.scene.placements._leases


async def test_a_failure_after_the_first_byte_is_an_event_and_ends_the_others(served: Faces) -> None:
    gate = asyncio.Event()

    async def breaks_later() -> Events:
        yield started()
        await gate.wait()
        raise Failure(reasons.ERROR_REASON_PROVIDER_OVERLOADED, "busy")

    provider(served).scripts = {"hangs": hangs, "breaks": breaks_later}
    call = served.openai.CreateCompletion(body(["hangs", "breaks"], stream=True))
    first = await call.read()
    gate.set()
    rest = await received(call)
    assert texts(rest) == {}
    assert json.loads(first.data.removeprefix(b"data: "))["choices"][0]["text"] == "a"
    assert rest.events[-1]["error"]["code"] == "server_is_overloaded"
    await eventually(lambda: sorted(provider(served).closed) == ["breaks", "hangs"], seconds=30)
    await eventually(
        lambda: sorted(outcomes(served)) == sorted([ledger.OUTCOME_CANCELLED, ledger.OUTCOME_ERROR]), seconds=2
    )


@pytest.mark.parametrize("stream", [True, False])
async def test_leaving_ends_every_prompt_and_gives_their_room_back(served: Faces, stream: bool) -> None:
    room = served.scene.relay._room
    call = served.openai.CreateCompletion(body(["hangs"] * 3, stream=stream))
    await eventually(lambda: len(served.scene.router.said("first_content")) == 3, seconds=30)
    assert served.scene.relay._room == room - 3
    call.cancel()
    await eventually(lambda: outcomes(served) == [ledger.OUTCOME_CANCELLED] * 3, seconds=30)
    await eventually(lambda: provider(served).closed == ["hangs"] * 3, seconds=30)
    assert served.scene.relay._room == room
    assert not served.scene.placements._leases


async def rest(call: Any) -> None:
    """Read what is left of a stream."""
    while await call.read() is not grpc.aio.EOF:
        pass


async def test_a_client_that_never_reads_on_is_ended_with_all_its_prompts(served: Faces) -> None:
    provider(served).scripts = {"floods": floods}
    room = served.scene.relay._room
    call = served.openai.CreateCompletion(body(["floods"] * 3, stream=True))
    await call.read()
    session = served.scene.sessions.to(served.scene.router.addresses[0])
    now = asyncio.get_running_loop().time

    def stuck() -> bool:
        """Whether every generation waits for what it took to be written, and has for a while."""
        taken = [attempt.taken_at for attempt in session._attempts.values()]
        return len(taken) == 3 and all(at is not None and now() - at > 0.2 for at in taken)

    await eventually(stuck, seconds=10)
    session.sweep(now=now() + 3601, idle_seconds=60, slow_reader_seconds=60)
    await eventually(lambda: len(served.scene.book.records) == 3, seconds=30)
    assert {record.request.error_reason for record in served.scene.book.records} == {"SLOW_CONSUMER"}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(rest(call), timeout=5)
    assert status.from_rpc_error(caught.value).reason_name == "SLOW_CONSUMER"
    assert served.scene.relay._room == room


async def test_a_gateway_without_room_for_a_prompt_refuses_the_request(served: Faces) -> None:
    served.scene.relay._room = 2
    reply = await post(served, body(["silent", "silent", "silent"]))
    assert (reply.metadata["x-http-status"], reply.json["error"]["code"]) == ("429", "slow_down")
    await eventually(lambda: served.scene.relay._room == 2, seconds=30)


@pytest.mark.parametrize(
    ("prompt", "param"), [("long", "prompt"), (["a", "long"], "prompt[1]"), ("much", "max_tokens")]
)
async def test_a_workers_failure_names_what_the_client_sent(served: Faces, prompt: Any, param: str) -> None:
    told = (await post(served, body(prompt))).json["error"]
    assert (told["param"], told["code"]) == (param, "context_length_exceeded")
    assert f"`{param}`" in told["message"]


@pytest.mark.parametrize("fields", [{"prompt": []}, {"prompt": "a", "n": 17}, {"prompt": "a", "temperature": 3}])
async def test_what_cannot_be_asked_for_is_refused_and_not_recorded(served: Faces, fields: dict[str, Any]) -> None:
    reply = await post(served, body(**fields))
    assert reply.metadata["x-http-status"] == "400"
    assert served.scene.book.records == []


async def test_headers_tell_who_served_or_failed(served: Faces) -> None:
    for prompt in ("a", ["a", "b"], ["silent", "broken"]):
        reply = await post(served, body(prompt))
        assert (reply.metadata["x-hybrid-provider"], reply.metadata["x-hybrid-attempts"]) == ("scripted", "1")
        assert "traceparent" in reply.metadata


async def test_what_is_left_out_for_one_of_the_prompts_is_told(served: Faces) -> None:
    served.scene.router.drop_unsupported = True
    reply = await post(served, body(["a", "b"], seed=1, logprobs=2))
    assert reply.metadata["x-hybrid-dropped"] == "logprobs,seed"
    assert [one["text"] for one in reply.json["choices"]] == ["a!", "b!"]


@pytest.mark.parametrize("prompt", ["silent", ["silent", "silent"]])
async def test_a_stream_that_is_silent_is_kept_alive(prompt: Any) -> None:
    with tempfile.TemporaryDirectory(prefix="g-") as directory:
        async with faces(pathlib.Path(directory), {"silent": silent}, keep_alive_seconds=0.05) as made:
            call = made.openai.CreateCompletion(body(prompt, stream=True))
            for _ in range(2):
                assert (await call.read()).data == COMMENT
            call.cancel()
            await eventually(lambda: set(outcomes(made)) == {ledger.OUTCOME_CANCELLED}, seconds=30)
