"""The typed API as plain JSON, through a real Envoy."""

import asyncio
import json

import grpc
import httpx2
import pytest

from services.chassis import status
from tests.edge.stub import failure_of

pytestmark = [pytest.mark.edge, pytest.mark.asyncio(loop_scope="module")]

# What gRPC says each code is in HTTP.
STATUSES = {
    "CANCELLED": 499, "UNKNOWN": 500, "INVALID_ARGUMENT": 400, "DEADLINE_EXCEEDED": 504, "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409, "PERMISSION_DENIED": 403, "RESOURCE_EXHAUSTED": 429, "FAILED_PRECONDITION": 400,
    "ABORTED": 409, "OUT_OF_RANGE": 400, "UNIMPLEMENTED": 501, "INTERNAL": 500, "UNAVAILABLE": 503, "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}  # fmt: skip


async def test_a_whole_answer_is_json_in_the_protos_names(http):
    reply = await http.post("/api/v1/generate", json={"spec": {"model": "any"}})
    body = reply.json()
    assert (body["generation_id"], body["choices"][0]["content"]["text"]) == ("0193", "Paris")
    assert body["choices"][0]["finish_reason"] == "FINISH_REASON_STOP"
    assert body["usage"]["input_tokens"] == 7  # a number, not text: 32 bits on purpose


async def test_each_event_of_a_stream_arrives_before_the_next_is_made(http, gateway):
    allowed = gateway.script.allowed
    allowed.put_nowait("Pa")
    texts = []
    async with asyncio.timeout(5), http.stream("POST", "/api/v1/generate:stream", json={"spec": {}}) as reply:
        assert reply.headers["content-type"] == "text/event-stream"
        async for line in reply.aiter_lines():
            if not line:
                continue
            event = json.loads(line.removeprefix("data: "))["event"]
            if "finished" in event:
                break
            texts.append(event["delta"]["text"])
            allowed.put_nowait("ris" if len(texts) == 1 else "")
    assert texts == ["Pa", "ris"]


@pytest.mark.parametrize("code", sorted(STATUSES))
async def test_a_status_of_grpc_is_one_of_http(http, code):
    reply = await http.post("/api/v1/generate", json={"spec": {"model": f"abort:{code}"}})
    assert (reply.status_code, reply.json()["message"]) == (STATUSES[code], f'the "{code}" of the stub')
    assert reply.json()["code"] == grpc.StatusCode[code].value[0]


@pytest.mark.parametrize("path", ["/api/v1/generate", "/api/v1/generate:stream"])
async def test_a_failure_keeps_its_reason_and_the_field(http, path):
    reply = await http.post(path, json={"spec": {"model": "fail:SPEC_INVALID"}})
    info = reply.json()["details"][0]
    assert reply.status_code == 400
    assert (info["reason"], info["domain"], info["metadata"]) == (
        "SPEC_INVALID", status.DOMAIN, failure_of("SPEC_INVALID").metadata,
    )  # fmt: skip


async def test_a_failure_that_passes_says_when(http):
    reply = await http.post("/api/v1/generate", json={"spec": {"model": "fail:FLEET_SATURATED"}})
    assert (reply.status_code, reply.json()["details"][1]["retry_delay"]) == (429, "6.200s")


async def test_models_are_listed(http):
    models = (await http.get("/api/v1/models", params={"page_size": 3})).json()["models"]
    assert (models[0]["name"], models[0]["context_tokens"]) == ("a", 4096)


@pytest.mark.parametrize("body", [b"{", b'{"spec": 3}', b'{"spec": {"max_output_tokens": "many"}}'])
async def test_what_is_no_request_is_refused_at_the_edge(http, gateway, body):
    reply = await http.post("/api/v1/generate", content=body, headers={"content-type": "application/json"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "bad_request")
    assert gateway.script.begun.empty()


async def test_an_unknown_query_parameter_is_refused(http):
    reply = await http.get("/api/v1/models", params={"size": 3})
    assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_an_unknown_path_is_told(http):
    reply = await http.post("/api/v1/nothing", json={})
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "unknown_url")


async def test_a_body_over_the_limit_is_refused_at_the_edge(envoy, gateway):
    for extra in ("unknown", "user"):
        spec = {"spec": {"model": "any", extra: "x" * (5 << 20)}}
        # Not the asynchronous client: it does not look for an answer while it still sends.
        reply = await asyncio.to_thread(httpx2.post, f"{envoy.url}/api/v1/generate", json=spec)
        assert (reply.status_code, reply.json()["error"]["code"]) == (413, "request_too_large")
    assert gateway.script.begun.empty()
