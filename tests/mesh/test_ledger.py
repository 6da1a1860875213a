"""Every accepted request has one row, with its tokens, times, worker and attempts."""

import asyncio
import json

import grpc
import openai
import pytest
from hybridinference.gateway.v1 import inference_service_pb2 as gateway
from hybridinference.gateway.v1 import inference_service_pb2_grpc as gateway_grpc
from hybridinference.inference.v1 import conversation_pb2 as conversation

from services.chassis.channel import open_channel
from tests.mesh.driver import Mesh, until, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.edge]

MESSAGES = [{"role": "user", "content": "one two three four five"}]


def test_a_streamed_answer_has_a_row(echo: Mesh) -> None:
    chunks = list(echo.client.chat.completions.create(model="echo", messages=MESSAGES, stream=True))
    row = echo.row_of(chunks[0].id.removeprefix("chatcmpl-"))
    assert (row["outcome"], row["model"], row["api"], row["streamed"]) == ("success", "echo", "openai", True)
    assert (row["input_tokens"], row["output_tokens"]) == (5, 5)
    assert row["worker"] in ("echo-0", "echo-1")
    assert row["provider"] == "echo"
    assert 0 < row["first_token_ms"] < row["latency_ms"]
    assert row["attempts"] == 1


def test_an_attempt_that_failed_before_its_first_content_has_its_own_record(echo: Mesh) -> None:
    with pytest.raises(openai.InternalServerError):
        echo.client.chat.completions.create(
            model="echo", messages=MESSAGES, extra_body={"echo": {"fail": "PROVIDER_UNAVAILABLE"}}
        )
    wait_until(lambda: any(row["outcome"] == "error" for row in echo.requests()), seconds=30)
    row = next(row for row in echo.requests() if row["outcome"] == "error")
    assert row["error_reason"] == "PROVIDER_UNAVAILABLE"
    assert row["attempts"] >= 2, "the other worker was not tried"
    assert {attempt["worker"] for attempt in row["attempt_list"]} == {"echo-0", "echo-1"}


async def test_a_client_that_goes_away_leaves_a_cancelled_row(echo: Mesh) -> None:
    async with echo.async_client() as client:
        stream = await client.chat.completions.create(
            model="echo", messages=MESSAGES, stream=True, extra_body={"echo": {"tokens": 10_000}}
        )
        first = await anext(aiter(stream))
        await stream.close()
    row = await asyncio.to_thread(echo.row_of, first.id.removeprefix("chatcmpl-"))
    assert row["outcome"] == "cancelled"


async def test_a_passed_deadline_leaves_a_row(echo: Mesh) -> None:
    request = gateway.GenerateRequest()
    request.spec.model = "echo"
    request.spec.messages.add(role=conversation.ROLE_USER).parts.add(text="never")
    request.spec.provider_options_json = json.dumps({"echo": {"hang_after_tokens": 0}})

    async def late() -> bool:
        return any(row["outcome"] == "deadline" for row in await asyncio.to_thread(echo.requests))

    async with open_channel(f"127.0.0.1:{echo.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await gateway_grpc.InferenceServiceStub(channel).Generate(request, timeout=3)
        await until(late, seconds=30)
