"""What a client gets: the official SDK, native gRPC and grpcurl, through the edge and straight at the gateway."""

import asyncio
import functools
import json
import pathlib
import re
import subprocess
import sys
import time

import grpc
import openai
import pytest
from hybridinference.gateway.v1 import inference_service_pb2 as gateway
from hybridinference.gateway.v1 import inference_service_pb2_grpc as gateway_grpc
from hybridinference.inference.v1 import conversation_pb2 as conversation

from benchmarks import first_byte
from benchmarks.system import System
from services.chassis.channel import open_channel
from tests.mesh.driver import Mesh, until, wait_until
from tests.mesh.scrape import total

pytestmark = [pytest.mark.slow, pytest.mark.edge]

WORDS = "one two three four five six seven eight nine ten"
MESSAGES = [{"role": "user", "content": WORDS}]
METHOD = "hybridinference.gateway.v1.InferenceService/StreamGenerate"


def test_the_official_sdk_gets_an_answer(echo: Mesh) -> None:
    answer = echo.client.chat.completions.create(model="echo", messages=MESSAGES)
    assert answer.choices[0].message.content == WORDS
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (10, 10)


def test_the_official_sdk_gets_a_stream_in_many_pieces_over_time(echo: Mesh) -> None:
    # The SDK makes its classes ready for the first chunk of its life, for up to 10 ms, while later ones arrive.
    list(echo.client.chat.completions.create(model="echo", messages=MESSAGES, stream=True))
    arrivals = []
    text, usage = "", None
    stream = echo.client.chat.completions.create(
        model="echo", messages=MESSAGES, stream=True, stream_options={"include_usage": True},
        extra_body=script(token_ms=50),
    )  # fmt: skip
    for chunk in stream:
        arrivals.append(time.monotonic())
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        usage = chunk.usage or usage
    assert text == WORDS
    assert len(arrivals) >= 10
    assert arrivals[-1] - arrivals[0] >= 0.08, "ten words, 50 ms apart, came all at once"
    assert usage is not None
    assert usage.completion_tokens == 10


def test_a_stream_ends_with_done(echo: Mesh) -> None:
    with echo.client.chat.completions.with_streaming_response.create(
        model="echo", messages=MESSAGES, stream=True
    ) as raw:
        lines = [line for line in raw.iter_lines() if line]
    assert lines[-2:] == [": x-hybrid-cost-usd: 0.000000000", "data: [DONE]"]
    assert all(json.loads(line.removeprefix("data: ")).get("usage") is None for line in lines[:-2])


def test_the_official_sdk_completes_prompts_whole_and_streamed(echo: Mesh) -> None:
    create = functools.partial(echo.client.completions.create, model="echo", max_tokens=5)
    whole = create(prompt=[WORDS, "to be", "or"], n=2)
    texts = ["one two three four five"] * 2 + ["to be"] * 2 + ["or"] * 2
    assert [(one.index, one.text) for one in whole.choices] == list(enumerate(texts))
    assert [one.finish_reason for one in whole.choices] == ["length"] * 2 + ["stop"] * 4
    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (13, 16)
    assert create(prompt=[7, 8]).choices[0].text == "7 8"
    streamed = [""] * 6
    for chunk in create(prompt=[WORDS, "to be", "or"], n=2, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.text
    assert streamed == texts


async def test_a_client_that_leaves_a_completion_frees_the_workers_within_a_second(echo: Mesh) -> None:
    running = functools.partial(total, echo, "gateway", "hybrid_gateway_requests_running")
    async with echo.async_client() as client:
        stream = await client.completions.create(
            model="echo", prompt=["one", "two", "three"], max_tokens=100_000, stream=True,
            extra_body={"echo": {"tokens": 100_000}},
        )  # fmt: skip
        await anext(aiter(stream))
        await until(lambda: running() == 3, seconds=30)
        await stream.close()
        took = await until(lambda: running() == 0, seconds=1)
    print(f"three generations ended {took * 1e3:.0f} ms after the client left")
    workers = [functools.partial(total, echo, f"echo-{n}", "hybrid_worker_attempts_running") for n in range(2)]
    await until(lambda: sum(one() for one in workers) == 0, seconds=1)


def test_models_are_listed_and_found_by_ids_with_slashes(echo: Mesh) -> None:
    client = echo.client
    assert [model.id for model in client.models.list()] == ["echo", "org/echo:small"]
    assert client.models.retrieve("org/echo:small").id == "org/echo:small"
    with pytest.raises(openai.NotFoundError, match="There is no model `nobody`"):
        client.models.retrieve("nobody")


@pytest.mark.parametrize("way", ["edge", "gateway"])
async def test_native_grpc_streams(echo: Mesh, way: str) -> None:
    request = gateway.StreamGenerateRequest()
    request.spec.model = "echo"
    request.spec.messages.add(role=conversation.ROLE_USER).parts.add(text=WORDS)
    async with open_channel(f"127.0.0.1:{echo.port}" if way == "edge" else echo.gateway) as channel:
        stub = gateway_grpc.InferenceServiceStub(channel)
        events = [response.event async for response in stub.StreamGenerate(request, timeout=10)]
        whole = await stub.Generate(gateway.GenerateRequest(spec=request.spec), timeout=10)
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[0] == "started"
    assert kinds[-1] == "finished"
    assert set(kinds[1:-1]) == {"delta"}
    assert "".join(event.delta.text for event in events) == WORDS
    assert whole.choices[0].content.text == WORDS
    assert whole.route.provider == "echo"
    assert whole.route.attempts == 1


@pytest.mark.parametrize("way", ["edge", "gateway"])
def test_grpcurl_lists_describes_and_streams(echo: Mesh, way: str) -> None:
    target = [f"127.0.0.1:{echo.port}"] if way == "edge" else ["-unix", echo.gateway[5:]]
    grpcurl = pathlib.Path(sys.executable).with_name("grpcurl")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [str(grpcurl), "-plaintext", *arguments], capture_output=True, text=True, timeout=20, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    services = run(*target, "list").split()
    assert "hybridinference.gateway.v1.InferenceService" in services
    assert "grpc.health.v1.Health" in services
    assert "rpc StreamGenerate" in run(*target, "describe", "hybridinference.gateway.v1.InferenceService")
    spec = {"model": "echo", "messages": [{"role": "ROLE_USER", "parts": [{"text": WORDS}]}]}
    answer = run("-d", json.dumps({"spec": spec}), *target, METHOD)
    pieces = re.findall(r'"text": "(.*)"', answer)
    assert "".join(pieces) == WORDS
    assert len(pieces) > 1
    assert "FINISH_REASON_STOP" in answer


async def test_plain_json_of_the_typed_api_streams_as_events(echo: Mesh) -> None:
    spec = {"model": "echo", "messages": [{"role": "ROLE_USER", "parts": [{"text": "to be"}]}]}
    response = echo.client._client.post(f"http://127.0.0.1:{echo.port}/api/v1/generate:stream", json={"spec": spec})
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line.removeprefix("data: ")) for line in response.text.splitlines() if line]
    assert "finished" in events[-1]["event"]


async def test_a_deadline_is_kept_and_its_status_is_typed(echo: Mesh) -> None:
    request = gateway.StreamGenerateRequest()
    request.spec.model = "echo"
    request.spec.messages.add(role=conversation.ROLE_USER).parts.add(text="never")
    request.spec.provider_options_json = json.dumps({"echo": {"hang_after_tokens": 0}})
    async with open_channel(f"127.0.0.1:{echo.port}") as channel:
        for _ in range(3):  # the machine may be slow once
            begun = time.monotonic()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for _ in gateway_grpc.InferenceServiceStub(channel).StreamGenerate(request, timeout=0.5):
                    pass
            took = time.monotonic() - begun
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert took > 0.4
            if took < 2:
                break
    assert took < 2, "it would hang for ever"


def script(**echo: object) -> dict[str, object]:
    """The request's extra body that tells the echo provider what to do."""
    return {"echo": echo}


def test_headers_say_how_an_answer_came_about_and_lead_to_its_rows(echo: Mesh) -> None:
    raw = echo.client.chat.completions.with_raw_response.create(model="org/echo:small", messages=MESSAGES)
    headers, row = raw.headers, echo.row_of(raw.parse().id.removeprefix("chatcmpl-"))
    assert (headers["x-hybrid-provider"], headers["x-hybrid-model"]) == ("echo", "echo")
    assert (headers["x-hybrid-attempts"], headers["x-hybrid-worker"]) == ("1", row["worker"])
    assert 0 <= int(headers["x-hybrid-queue-ms"]) <= int(headers["openai-processing-ms"])
    assert headers["x-request-id"] == row["edge_request_id"]
    assert headers["traceparent"].split("-")[1] == row["trace_id"]


def test_comments_break_the_silence_before_content_and_between(echo: Mesh) -> None:
    slow = script(tokens=2, first_token_ms=2500, token_ms=2500)
    asked = {"model": "echo", "messages": MESSAGES, "stream": True, "extra_body": slow}
    with echo.client.chat.completions.with_streaming_response.create(**asked) as raw:
        assert raw.headers["x-hybrid-provider"] == "echo"
        assert int(raw.headers["openai-processing-ms"]) < 2500, "the first comment comes before the first content"
        lines = [line for line in raw.iter_lines() if line]
    first = next(index for index, line in enumerate(lines) if line.startswith("data: "))
    assert set(lines[:first]) == {": keep-alive"}
    assert ": keep-alive" in lines[first:]
    assert lines[-1] == "data: [DONE]"


def test_the_official_sdk_raises_what_fails_after_a_comment(echo: Mesh) -> None:
    failing = script(first_token_ms=2500, fail="PROVIDER_REJECTED")
    stream = echo.client.chat.completions.create(model="echo", messages=MESSAGES, stream=True, extra_body=failing)
    with pytest.raises(openai.APIError) as caught:
        list(stream)
    assert not isinstance(caught.value, openai.APIStatusError), "the status was sent with the first comment"
    assert caught.value.code == "provider_rejected"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v1/generate"])
def test_a_header_sets_the_deadline_of_both_faces_over_http(echo: Mesh, path: str) -> None:
    options = script(hang_after_tokens=0)
    spec = {
        "model": "echo",
        "messages": [{"role": "ROLE_USER", "parts": [{"text": "never"}]}],
        "provider_options_json": json.dumps(options),
    }
    body = {"model": "echo", "messages": MESSAGES, **options} if path.startswith("/v1") else {"spec": spec}
    url = f"http://127.0.0.1:{echo.port}{path}"
    for _ in range(3):  # the machine may be slow once
        begun = time.monotonic()
        reply = echo.client._client.post(url, json=body, headers={"x-hybrid-timeout-ms": "500"})
        took = time.monotonic() - begun
        assert took > 0.4
        if took < 1.5:
            break
    assert took < 1.5
    assert reply.status_code == 504
    told = reply.json()
    reason = told["error"]["type"] if "error" in told else told["details"][0]["reason"]
    assert reason in ("timeout_error", "DEADLINE_EXCEEDED")
    wait_until(lambda: not any(worker["running"] for worker in echo.status()["workers"]), seconds=30)
    refused = echo.client._client.post(url, json=body, headers={"x-hybrid-timeout-ms": "1.5"})
    assert (refused.status_code, "x-hybrid-timeout-ms" in refused.text) == (400, True)


def test_the_benchmark_of_the_first_byte_times_every_way_to_an_answer(echo: Mesh):
    assert echo.socket("worker-echo-0").exists()
    system = System("mesh", echo.port, {}, echo.home)
    measured = asyncio.run(first_byte.measure(system, clients=2, times=20))
    p50 = {row["way"]: row["p50_ms"] for row in measured.rows()}
    assert 0.1 < p50["worker, gRPC"] < min(p50["gateway, gRPC"], p50["edge, OpenAI over HTTP"]) < 5000
    assert len(p50) == 5
    assert all(f"| {way} |" in first_byte.table(measured) for way in p50)
