"""What a real Envoy does while its gateway is away, and when it is asked to stop."""

import asyncio
import os
import signal
import time

import grpc
import httpx2
import openai
import pytest
from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.gateway.v1 import inference_service_pb2_grpc as inference_grpc

pytestmark = [pytest.mark.edge, pytest.mark.asyncio(loop_scope="module")]

ASK = [{"role": "user", "content": "x"}]

# Health is asked for twice a second while a gateway is away.
BACK_SECONDS = 2


async def seconds_until_back(envoy, gateway):
    """How long after the start of the gateway, which the edge knows to be away, it is seen."""
    await gateway.stop()
    await envoy.becomes(healthy=False)
    await gateway.start()
    begun = time.monotonic()
    await envoy.becomes(healthy=True)
    return time.monotonic() - begun


async def test_answers_of_a_good_gateway_are_not_held_against_it(envoy, http):
    """A model whose workers are down makes a gateway answer UNAVAILABLE; that must not take away the other models."""
    for _ in range(20):
        reply = await http.post("/api/v1/generate", json={"spec": {"model": "abort:UNAVAILABLE"}})
        assert reply.json()["message"] == 'the "UNAVAILABLE" of the stub'
        reply = await http.post("/v1/chat/completions", json={"model": "fail:NO_HEALTHY_WORKER"})
        assert reply.json()["error"]["message"] == "because of NO_HEALTHY_WORKER"
    assert (await http.post("/v1/chat/completions", json={"model": "any"})).status_code == 200
    assert await envoy.stat("cluster.gateway.outlier_detection.ejections_active") == 0


async def test_a_gateway_that_is_away_is_told_and_is_back_at_once(envoy, gateway, http, sdk):
    await gateway.stop()
    for _ in range(20):  # more than enough for an ejection
        reply = await http.post("/v1/chat/completions", json={"model": "any"})
        error = reply.json()["error"]
        assert (reply.status_code, error["type"], error["code"]) == (
            503,
            "service_unavailable_error",
            "service_unavailable",
        )
        assert reply.headers["retry-after"] == "1"
    with pytest.raises(openai.InternalServerError, match="temporarily unavailable"):
        await sdk.chat.completions.create(model="any", messages=ASK)
    assert (await http.post("/api/v1/generate", json={})).status_code == 503
    async with grpc.aio.insecure_channel(f"127.0.0.1:{envoy.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await inference_grpc.InferenceServiceStub(channel).Generate(inference.GenerateRequest(), timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "{" not in caught.value.details()
    await envoy.becomes(healthy=False)
    assert await envoy.stat("cluster.gateway.outlier_detection.ejections_enforced_total") == 0

    for _ in range(3):  # a machine may stand still meanwhile, though not each time
        seconds = await seconds_until_back(envoy, gateway)
        if seconds < BACK_SECONDS:
            break
    assert seconds < BACK_SECONDS
    assert (await http.post("/v1/chat/completions", json={"model": "any"})).status_code == 200


async def test_a_gateway_that_drains_is_seen_and_its_streams_finish(envoy, gateway, sdk):
    gateway.script.allowed.put_nowait("Pa")
    stream = aiter(await sdk.chat.completions.create(model="stream", messages=ASK, stream=True))
    await anext(stream)
    await gateway.server.mark_serving(False)
    await envoy.becomes(healthy=False)
    with pytest.raises(openai.InternalServerError, match="temporarily unavailable"):
        await sdk.chat.completions.create(model="any", messages=ASK)
    for text in ("ris", ""):
        gateway.script.allowed.put_nowait(text)
    assert [chunk.choices[0].delta.content async for chunk in stream] == ["ris", None]
    await gateway.server.mark_serving()
    await envoy.becomes(healthy=True)


async def test_the_admin_socket_is_only_for_its_user(envoy):
    assert (envoy.home / "run/envoy-admin.sock").stat().st_mode & 0o777 == 0o600


async def test_envoy_stops_at_once_when_asked(envoy, gateway, sdk):
    """Last in this module: it takes the edge away. A stream that runs is cut, and the client notices."""
    gateway.script.allowed.put_nowait("Pa")
    stream = aiter(await sdk.chat.completions.create(model="stream", messages=ASK, stream=True))
    await anext(stream)
    os.kill(envoy.process.pid, signal.SIGTERM)
    assert await asyncio.to_thread(envoy.process.wait, 5) == 0
    with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
        await anext(stream)
    async with asyncio.timeout(30):
        assert await gateway.script.ended.get() == "cancelled"
