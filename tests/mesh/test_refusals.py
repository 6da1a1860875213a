"""What a provider does not have, and a limit that is used up: what the caller is told, through the whole mesh."""

import math
from collections.abc import Iterator
from typing import Any

import grpc
import openai
import pytest
from hybridinference.gateway.v1 import inference_service_pb2 as gateway
from hybridinference.gateway.v1 import inference_service_pb2_grpc as gateway_grpc
from hybridinference.inference.v1 import conversation_pb2 as conversation

from services.chassis import status
from services.chassis.channel import open_channel
from tests.mesh.driver import Mesh, mesh
from tests.mesh.scrape import total

pytestmark = [pytest.mark.slow, pytest.mark.edge]

CONFIG = """
gateway: {drain_seconds: 2}
providers:
  echo: {kind: echo, drain_seconds: 2}
  limited: {kind: echo, drain_seconds: 2}
models:
  - {name: dropping, routes: [{provider: echo, on_unsupported: drop}]}
  - {name: refusing, routes: [{provider: echo}]}
  - {name: limited, routes: [{provider: limited}]}
"""
MESSAGES = [{"role": "user", "content": "one two"}]
TYPED = gateway.GenerateRequest()
TYPED.spec.messages.add(role=conversation.ROLE_USER).parts.add(text="one two")
LIMITED = {"echo": {"fail": "PROVIDER_RATE_LIMITED", "retry_after_ms": 7000}}


@pytest.fixture(scope="module")
def running() -> Iterator[Mesh]:
    with mesh(CONFIG) as up:
        yield up


@pytest.mark.parametrize("stream", [True, False])
def test_a_route_that_leaves_out_answers_and_says_what_it_left_out(running: Mesh, stream: bool) -> None:
    asked: dict[str, Any] = {"logprobs": True, "frequency_penalty": 1, "seed": 1, "reasoning_effort": "low"}
    create = running.client.chat.completions.with_raw_response.create
    raw = create(model="dropping", messages=MESSAGES, stream=stream, **asked)
    assert set(raw.headers["x-hybrid-dropped"].split(",")) == {"logprobs", "frequency_penalty", "reasoning_effort"}
    plain = create(model="dropping", messages=MESSAGES, stream=stream, seed=1)
    assert "x-hybrid-dropped" not in plain.headers


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"presence_penalty": 1}, "presence_penalty"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"extra_body": {"top_k": 3}}, "top_k"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
    ],
)
def test_a_route_that_refuses_names_parameter_and_provider(running: Mesh, asked: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        running.client.chat.completions.create(model="refusing", messages=MESSAGES, **asked)
    assert (caught.value.param, caught.value.code) == (param, "unsupported_parameter")
    assert f"`{param}` is not supported by echo for the model `refusing`" in caught.value.message


def test_what_a_program_relies_on_is_refused_even_where_parameters_are_left_out(running: Mesh) -> None:
    tools: Any = [{"type": "function", "function": {"name": "f"}}]
    with pytest.raises(openai.BadRequestError) as caught:
        running.client.chat.completions.create(model="dropping", messages=MESSAGES, tools=tools, logprobs=True)
    assert caught.value.param == "tools"


async def test_the_typed_api_names_the_field_and_tells_what_was_left_out(running: Mesh) -> None:
    request = gateway.GenerateRequest()
    request.CopyFrom(TYPED)
    request.spec.sampling.presence_penalty = 1
    async with open_channel(f"127.0.0.1:{running.port}") as channel:
        stub = gateway_grpc.InferenceServiceStub(channel)
        request.spec.model = "refusing"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Generate(request)
        failure = status.from_rpc_error(caught.value)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (failure.metadata["field"], failure.metadata["provider"]) == ("sampling.presence_penalty", "echo")
        streamed = gateway.StreamGenerateRequest(spec=request.spec)
        streamed.spec.model = "dropping"
        events = [one.event async for one in stub.StreamGenerate(streamed)]
    assert list(events[0].started.dropped_fields) == ["sampling.presence_penalty"]


async def test_a_limit_that_is_used_up_says_when_to_come_back_and_nobody_asks_before(running: Mesh) -> None:
    chat = running.client.chat.completions
    with pytest.raises(openai.RateLimitError) as first:
        chat.create(model="limited", messages=MESSAGES, extra_body=LIMITED)
    assert first.value.response.headers["retry-after"] == "7"
    assert first.value.code == "rate_limit_exceeded"

    asked = total(running, "limited-0", "gen_ai_client_operation_duration_seconds_count")
    assert asked > 0
    with pytest.raises(openai.RateLimitError) as second:
        chat.create(model="limited", messages=MESSAGES)
    assert 1 <= int(second.value.response.headers["retry-after"]) <= 7
    with pytest.raises(openai.RateLimitError):
        running.client.embeddings.create(model="limited", input="a")
    request = gateway.GenerateRequest()
    request.CopyFrom(TYPED)
    request.spec.model = "limited"
    async with open_channel(f"127.0.0.1:{running.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as typed:
            await gateway_grpc.InferenceServiceStub(channel).Generate(request)
    assert typed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    left = status.from_rpc_error(typed.value).retry_after
    assert left is not None
    assert 0 < left <= 7
    assert math.ceil(left) <= int(second.value.response.headers["retry-after"])
    assert total(running, "limited-0", "gen_ai_client_operation_duration_seconds_count") == asked, (
        "it was asked before its time"
    )
