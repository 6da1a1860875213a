"""Native gRPC, reflection and health through a real Envoy."""

import asyncio

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.gateway.v1 import inference_service_pb2_grpc as inference_grpc

from services.chassis import status
from tests.edge.stub import NAMES

pytestmark = [pytest.mark.edge, pytest.mark.asyncio(loop_scope="module")]

CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def channel(mesh):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{mesh[0].port}") as channel:
        yield channel


@pytest.fixture
def client(channel):
    return inference_grpc.InferenceServiceStub(channel)


def ask(model):
    return inference.GenerateRequest(spec={"model": model})


async def test_a_whole_answer_comes_untouched(client):
    answer = await client.Generate(ask("any"), timeout=5)
    assert answer.choices[0].content.text == "Paris"


async def test_each_event_of_a_stream_arrives_before_the_next_is_made(client, gateway):
    gateway.script.allowed.put_nowait("Pa")
    texts = []
    async for answer in client.StreamGenerate(inference.StreamGenerateRequest(), timeout=5):
        texts.append(answer.event.delta.text)
        gateway.script.allowed.put_nowait("ris" if len(texts) == 1 else "")
    assert texts[:2] == ["Pa", "ris"]


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
async def test_a_message_stays_plain(client, code):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.Generate(ask(f"abort:{code.name}"), timeout=5)
    assert (caught.value.code(), caught.value.details()) == (code, f'the "{code.name}" of the stub')


async def test_a_failure_keeps_its_reason_and_when_to_come_back(client):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.Generate(ask("fail:FLEET_SATURATED"), timeout=5)
    failure = status.from_rpc_error(caught.value)
    assert (failure.reason_name, failure.retry_after) == ("FLEET_SATURATED", 6.2)


async def test_the_gateway_sees_the_clients_deadline(client, gateway):
    await client.Generate(ask("any"), timeout=20)
    assert gateway.script.seconds_left == pytest.approx(20, abs=1)  # gRPC rounds up
    await client.Generate(ask("any"), timeout=4000)  # no cap of the edge takes its place
    assert gateway.script.seconds_left == pytest.approx(4000, abs=61)


async def test_a_call_without_a_deadline_has_none_at_the_gateway(client, gateway):
    await client.Generate(ask("any"))
    assert gateway.script.seconds_left is None


async def test_a_deadline_that_passes_is_told_as_such(client):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.Generate(ask("hang"), timeout=0.2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_cancelled_call_ends_at_the_gateway(client, gateway):
    gateway.script.allowed.put_nowait("Pa")
    call = client.StreamGenerate(inference.StreamGenerateRequest(), timeout=5)
    await call.read()
    call.cancel()
    async with asyncio.timeout(30):
        assert await gateway.script.ended.get() == "cancelled"


async def test_reflection_lists_the_services(channel):
    async def requests():
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    async for answer in stub.ServerReflectionInfo(requests(), timeout=5):
        listed = {service.name for service in answer.list_services_response.service}
    assert set(NAMES) < listed


async def test_health_is_the_gateways(channel):
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=NAMES[0]), timeout=5)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_an_unknown_method_is_unimplemented(channel):
    method = channel.unary_unary("/no.Such/Method", request_serializer=bytes, response_deserializer=bytes)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await method(b"", timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_grpc_web_gets_its_trailers_in_the_body(http):
    empty = b"\0\0\0\0\0"
    path = "/hybridinference.gateway.v1.InferenceService/ListModels"
    reply = await http.post(path, content=empty, headers={"content-type": "application/grpc-web+proto"})
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/grpc-web+proto")
    assert b"grpc-status:0" in reply.content


async def test_names_that_only_the_edge_may_set_do_not_come_from_a_client(client, gateway):
    spoofed = (("x-envoy-original-path", "/admin"), ("x-envoy-original-method", "PUT"), ("x-own", "kept"))
    await client.Generate(ask("any"), timeout=5, metadata=spoofed)
    assert gateway.script.metadata["x-own"] == "kept"
    assert not {"x-envoy-original-path", "x-envoy-original-method"} & gateway.script.metadata.keys()


async def test_raw_http_to_a_method_is_an_unknown_url(http):
    reply = await http.get("/hybridinference.gateway.v1.InferenceService/ListModels")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "unknown_url")
    headers = {"content-type": "application/grpc"}
    reply = await http.get("/hybridinference.gateway.v1.InferenceService/ListModels", headers=headers)
    assert reply.headers["grpc-status"] == str(grpc.StatusCode.UNIMPLEMENTED.value[0])  # a reset would be UNAVAILABLE
