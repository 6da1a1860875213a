"""Sizes: what a real Envoy lets through, and how it refuses the rest."""

import asyncio

import openai
import pytest

from tests.edge.stub import FLOOD

pytestmark = [pytest.mark.edge, pytest.mark.asyncio(loop_scope="module")]

MIB = 1 << 20


async def sized(http, size):
    body = b'{"model":"size","x":"' + b"x" * (size - 23) + b'"}'
    assert len(body) == size
    return await http.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})


@pytest.mark.parametrize("size", [100, 5 * MIB, 20 * MIB])
async def test_a_body_below_the_limit_arrives_whole(http, size):
    assert (await sized(http, size)).json() == {"size": size}


async def test_a_body_over_the_limit_is_refused_at_the_edge(envoy, gateway):
    def ask():
        with openai.OpenAI(base_url=f"{envoy.url}/v1", api_key="sk", max_retries=0) as sdk:
            sdk.chat.completions.create(model="size", messages=[{"role": "user", "content": "x" * (40 * MIB)}])

    # Envoy answers and reads no further. A client that is still sending must look for the answer: the SDK does, but not
    # its asynchronous client, which takes it for a broken connection.
    with pytest.raises(openai.APIStatusError) as caught:
        await asyncio.to_thread(ask)
    assert (caught.value.status_code, caught.value.code) == (413, "request_too_large")
    assert gateway.script.begun.empty()


async def test_a_large_answer_arrives_whole(http):
    reply = await http.post("/v1/chat/completions", json={"model": f"large:{30 * MIB}"})
    assert (reply.status_code, len(reply.content)) == (200, 30 * MIB + 2)


async def test_an_answer_over_the_limit_is_an_error_not_half_an_answer(http):
    reply = await http.post("/v1/chat/completions", json={"model": f"large:{40 * MIB}"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (500, "internal_error")


@pytest.mark.parametrize("path", ["/v1/models", "/api/v1/models"])
async def test_headers_below_the_limit_pass_every_time(http, path):
    # More than once: gRPC refuses headers between its two limits at random.
    for _ in range(20):
        reply = await http.get(path, headers={"x-large": "x" * 50_000})
        assert reply.status_code == 200


@pytest.mark.parametrize("path", ["/v1/models", "/api/v1/models"])
async def test_headers_over_the_limit_are_refused_at_the_edge(http, path):
    # In one shape: what has not been read does not say which face it is for.
    reply = await http.get(path, headers={"x-large": "x" * 70_000})
    assert (reply.status_code, reply.json()["error"]["code"]) == (431, "headers_too_large")


async def test_a_client_that_does_not_read_costs_the_edge_little(envoy, gateway):
    """Eight streams of 64 MiB that nobody reads: the gateway is made to wait, the edge does not hold them."""
    before = await envoy.memory()
    body = f'{{"model":"flood:{(64 * MIB) // FLOOD}"}}'.encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: edge\r\ncontent-length: %d\r\n\r\n" % len(body)
    writers = []
    for _ in range(8):
        reader, writer = await asyncio.open_connection("127.0.0.1", envoy.port, limit=1)
        writer.write(head + body)
        assert await reader.readexactly(8) == b"HTTP/1.1"
        writers.append(writer)
    sent = -1
    while sent != gateway.script.sent:  # until everything stands still
        sent = gateway.script.sent
        await asyncio.sleep(0.3)
    held = await envoy.memory() - before
    for writer in writers:
        writer.transport.abort()
    assert sent < 8 * 32 * MIB
    assert held < 8 * MIB // 2
