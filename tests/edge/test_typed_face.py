"""The typed API as plain JSON, through a real Envoy."""

import asyncio
import json

import grpc
import httpx2
import pytest
from google.protobuf import json_format
from google.rpc import code_pb2, error_details_pb2, status_pb2  # noqa: F401  # the details must be known to be read
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis import register, status
from tests.edge.stub import failure_of

pytestmark = [pytest.mark.edge, pytest.mark.asyncio(loop_scope="module")]

REASONS = [name.removeprefix("ERROR_REASON_") for name, _ in reasons.ErrorReason.items()]
CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


def told_by_the_edge(reply):
    """The code's name of a google.rpc.Status, and the reason where it has one. It must be one as a gateway sends it."""
    body = reply.json()
    parsed = json_format.Parse(reply.content, status_pb2.Status())
    reasons = [detail["reason"] for detail in body["details"] if detail["@type"].endswith("ErrorInfo")]
    assert body.keys() == {"code", "message", "details"}
    assert body["message"]
    assert all(detail["domain"] == status.DOMAIN for detail in body["details"] if "domain" in detail)
    return code_pb2.Code.Name(parsed.code), reasons[0] if reasons else None


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
    async with asyncio.timeout(30), http.stream("POST", "/api/v1/generate:stream", json={"spec": {}}) as reply:
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


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
async def test_a_status_of_grpc_is_one_of_http(http, code):
    reply = await http.post("/api/v1/generate", json={"spec": {"model": f"abort:{code.name}"}})
    told = (reply.status_code, reply.json()["code"], reply.json()["message"])
    assert told == (register.BARE[code.value[0]].http, code.value[0], f'the "{code.name}" of the stub')


@pytest.mark.parametrize("path", ["/api/v1/generate", "/api/v1/generate:stream"])
@pytest.mark.parametrize("reason", REASONS)
async def test_every_reason_is_told_with_its_field_at_the_status_of_its_code(http, path, reason):
    reply = await http.post(path, json={"spec": {"model": f"fail:{reason}"}})
    body, failure = reply.json(), failure_of(reason)
    row = register.REASONS[failure.reason]
    assert (reply.status_code, body["code"]) == (register.BARE[row.grpc].http, row.grpc)
    assert body["message"] == f"because of {reason}"
    info = body["details"][0]
    assert (info["reason"], info["domain"], info["metadata"]) == (reason, status.DOMAIN, failure.metadata)


async def test_a_failure_that_passes_says_when(http):
    reply = await http.post("/api/v1/generate", json={"spec": {"model": "fail:FLEET_SATURATED"}})
    assert (reply.status_code, reply.json()["details"][1]["retry_delay"]) == (429, "6.200s")


async def test_models_are_listed(http):
    models = (await http.get("/api/v1/models", params={"page_size": 3})).json()["models"]
    assert (models[0]["name"], models[0]["context_tokens"]) == ("a", 4096)


@pytest.mark.parametrize("body", [b"{", b'{"spec": 3}', b'{"spec": {"max_output_tokens": "many"}}'])
async def test_what_is_no_request_is_refused_at_the_edge(http, gateway, body):
    reply = await http.post("/api/v1/generate", content=body, headers={"content-type": "application/json"})
    assert (reply.status_code, told_by_the_edge(reply)) == (400, ("INVALID_ARGUMENT", "SPEC_INVALID"))
    assert gateway.script.begun.empty()


async def test_an_unknown_query_parameter_is_refused(http):
    reply = await http.get("/api/v1/models", params={"size": 3})
    assert (reply.status_code, told_by_the_edge(reply)) == (400, ("INVALID_ARGUMENT", "SPEC_INVALID"))


async def test_an_unknown_path_is_told(http):
    reply = await http.post("/api/v1/nothing", json={})
    assert (reply.status_code, told_by_the_edge(reply)) == (404, ("NOT_FOUND", None))
    assert "POST /api/v1/nothing" in reply.json()["message"]


async def test_a_body_over_the_limit_is_refused_at_the_edge(envoy, gateway):
    for extra in ("unknown", "user"):
        spec = {"spec": {"model": "any", extra: "x" * (5 << 20)}}
        # Not the asynchronous client: it does not look for an answer while it still sends.
        reply = await asyncio.to_thread(httpx2.post, f"{envoy.url}/api/v1/generate", json=spec)
        assert (reply.status_code, told_by_the_edge(reply)) == (413, ("RESOURCE_EXHAUSTED", "REQUEST_TOO_LARGE"))
    assert gateway.script.begun.empty()
