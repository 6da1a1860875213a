"""The OpenAI API through a real Envoy, with the official SDK."""

import asyncio

import grpc
import openai
import pytest
from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis import register
from services.gateway.arrival import TIMEOUT
from services.gateway.openai import dropped, headers
from services.gateway.openai.reply import COMMENT
from services.gateway.quota.reservation import Meter, Unlimited
from services.gateway.quota.told import limit_headers
from tests.edge.stub import failure_of

pytestmark = [pytest.mark.edge, pytest.mark.asyncio(loop_scope="module")]

ASK = [{"role": "user", "content": "What is the capital of France?"}]

# What the SDK raises for an HTTP status; all from 500 on are an InternalServerError, and the rest have no class.
RAISES = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    429: openai.RateLimitError,
}
REASONS = [name.removeprefix("ERROR_REASON_") for name, _ in reasons.ErrorReason.items()]
CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


async def test_the_sdk_gets_a_whole_answer(sdk):
    answer = await sdk.chat.completions.create(model="any", messages=ASK)
    assert answer.choices[0].message.content == "Paris"
    assert (answer.usage.total_tokens, type(answer.created)) == (8, int)
    assert answer._request_id


async def test_each_piece_of_a_stream_arrives_before_the_next_is_made(sdk, gateway):
    allowed = gateway.script.allowed
    allowed.put_nowait("Pa")
    async with asyncio.timeout(30):
        stream = await sdk.chat.completions.create(model="stream", messages=ASK, stream=True)
        chunks = aiter(stream)
        assert (await anext(chunks)).choices[0].delta.content == "Pa"
        for text in ("ri", "s"):  # the gateway makes each only now: a buffer on the way would wait for ever
            allowed.put_nowait(text)
            assert (await anext(chunks)).choices[0].delta.content == text
        allowed.put_nowait("")
        assert (await anext(chunks)).choices[0].finish_reason == "stop"
        with pytest.raises(StopAsyncIteration):
            await anext(chunks)


async def test_comments_pass_at_once_and_the_sdk_skips_them(sdk, http, gateway):
    allowed, comment = gateway.script.allowed, COMMENT.decode()
    allowed.put_nowait(comment)
    async with asyncio.timeout(30), http.stream("POST", "/v1/chat/completions", json={"model": "stream"}) as reply:
        assert await anext(reply.aiter_bytes()) == COMMENT  # a buffer on the way would wait for ever
    assert await gateway.script.ended.get() == "cancelled"  # what is allowed from here on is the next call's
    for text in (comment, "Pa", comment, comment, "ris", comment, ""):
        allowed.put_nowait(text)
    stream = await sdk.chat.completions.create(model="stream", messages=ASK, stream=True)
    assert [chunk.choices[0].delta.content async for chunk in stream] == ["Pa", "ris", None]


async def test_a_stream_is_events_and_ends_with_done(http, gateway):
    for text in ("Paris", ""):
        gateway.script.allowed.put_nowait(text)
    reply = await http.post("/v1/chat/completions", json={"model": "stream"})
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.text.endswith("data: [DONE]\n\n")
    assert "x-http-status" not in reply.headers


@pytest.mark.parametrize("reason", REASONS)
async def test_every_reason_becomes_the_right_exception(sdk, reason):
    with pytest.raises(openai.APIStatusError) as caught:
        await sdk.chat.completions.create(model=f"fail:{reason}", messages=ASK)
    error, row = caught.value, register.REASONS[failure_of(reason).reason]
    assert (error.status_code, error.type, error.code) == (row.http, row.type, row.code)
    assert type(error) is RAISES.get(row.http, openai.InternalServerError if row.http >= 500 else openai.APIStatusError)
    assert (error.param, error.body["message"]) == ("seed", f"because of {reason}")
    headers = error.response.headers
    assert headers.get("x-should-retry") == ("false" if row.final else None)
    assert "x-http-status" not in headers


async def test_a_rate_limit_says_when_to_come_back(sdk, gateway):
    with pytest.raises(openai.RateLimitError) as caught:
        await sdk.chat.completions.create(model="fail:RATE_LIMITED", messages=ASK)
    assert caught.value.response.headers["retry-after"] == "7"


@pytest.mark.parametrize("reason", [name for name in REASONS if register.REASONS[failure_of(name).reason].final])
async def test_the_sdk_tries_nothing_again_that_is_in_vain(envoy, gateway, reason):
    async with openai.AsyncOpenAI(base_url=f"{envoy.url}/v1", api_key="sk-test", max_retries=2) as retrying:
        with pytest.raises(openai.APIStatusError):
            await retrying.chat.completions.create(model=f"fail:{reason}", messages=ASK)
    assert gateway.script.begun.qsize() == 1


async def test_a_failure_within_a_stream_raises(sdk, gateway):
    gateway.script.allowed.put_nowait("Pa")
    stream = await sdk.chat.completions.create(model="interrupted", messages=ASK, stream=True)
    chunks = aiter(stream)
    assert (await anext(chunks)).choices[0].delta.content == "Pa"
    with pytest.raises(openai.APIError, match="because of STREAM_INTERRUPTED"):
        await anext(chunks)


async def test_a_client_that_gives_up_cancels_the_handler(sdk, gateway):
    gateway.script.allowed.put_nowait("Pa")
    stream = await sdk.chat.completions.create(model="stream", messages=ASK, stream=True)
    await anext(aiter(stream))
    await stream.close()
    async with asyncio.timeout(30):
        assert await gateway.script.ended.get() == "cancelled"


async def test_the_timeout_of_a_client_cancels_the_handler(sdk, gateway):
    for seconds in (0.2, 1, 5):
        with pytest.raises(openai.APITimeoutError):
            await sdk.with_options(timeout=seconds).chat.completions.create(model="stream", messages=ASK, stream=True)
        if not gateway.script.begun.empty():  # otherwise the time was over before the call was there
            break
    async with asyncio.timeout(30):
        assert await gateway.script.ended.get() == "cancelled"


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
async def test_a_bare_grpc_error_is_told_in_the_words_of_the_register(http, code):
    reply = await http.post("/v1/chat/completions", json={"model": f"abort:{code.name}"})
    error = reply.json()["error"]
    assert error["message"] == f'the "{code.name}" of the stub'
    assert (error["param"], reply.headers["content-type"]) == (None, "application/json")
    assert "grpc-message" not in reply.headers
    row = register.BARE[code.value[0]]
    assert (reply.status_code, error["type"], error["code"]) == (row.http, row.type, row.code)
    assert reply.headers.get("retry-after") == ("1" if row.http == 503 else None)
    assert reply.headers.get("x-should-retry") == ("false" if row.final else None)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/nothing"), ("POST", "/"), ("GET", "/nothing"), ("GET", "/v1"), ("GET", "/v1/"),
        ("POST", "/v2/chat/completions"),
        *((method, "/v1/chat/completions") for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS")),
        ("GET", "/v1/chat/completions/chatcmpl-1"), ("GET", "/v1/completions"), ("GET", "/v1/responses"),
        ("GET", "/v1/embeddings"), ("DELETE", "/v1/models"), ("POST", "/v1/models"), ("DELETE", "/v1/models/x"),
        ("POST", "/v1/models/x"), ("POST", "/v1/audio/speech"), ("POST", "/v1/files"), ("GET", "/v1/batches"),
        ("GET", '/v1/x"y'), ("GET", "/v1/nothing?key=sk-test"),
    ],
)  # fmt: skip
async def test_an_unknown_path_or_method_is_told_in_openais_words(http, gateway, method, path):
    reply = await http.request(method, path, json={} if method == "POST" else None)
    error = reply.json()["error"]
    assert (reply.status_code, error["type"], error["code"]) == (404, "invalid_request_error", "unknown_url")
    assert (error["param"], reply.headers["content-type"]) == (None, "application/json")
    assert f"{method} /" in error["message"]
    assert "sk-test" not in error["message"]
    assert gateway.script.begun.empty()


async def test_the_sdk_raises_not_found_for_an_endpoint_that_is_not_there(sdk):
    with pytest.raises(openai.NotFoundError, match="Unknown request URL: POST /v1/moderations"):
        await sdk.moderations.create(input="x")


@pytest.mark.parametrize("name", ["plain", "org/model", "ft:gpt-x:acme::id1", "a/b:c/d"])
async def test_ids_of_models_may_hold_slashes_and_colons(sdk, http, name):
    assert (await sdk.models.retrieve(name)).id == name
    escaped = name.replace("/", "%2F").replace(":", "%3A")
    assert (await http.get(f"/v1/models/{escaped}")).json()["id"] == name


async def test_models_are_listed(sdk):
    assert [model.id async for model in sdk.models.list()] == ["a", "b"]


async def test_the_gateway_gets_headers_but_none_that_only_the_edge_may_set(http, gateway):
    spoofed = {"x-envoy-original-path": "/admin", "x-envoy-original-method": "PUT", "x-odd-bin": "not base64!"}
    reply = await http.post(
        "/v1/chat/completions?a=b", json={"model": "any"}, headers={"authorization": "Bearer sk-1", **spoofed}
    )
    assert reply.status_code == 200
    metadata = gateway.script.metadata
    assert metadata["authorization"] == "Bearer sk-1"
    assert metadata["x-envoy-original-path"] == "/v1/chat/completions?a=b"
    assert metadata["x-envoy-original-method"] == "POST"
    assert metadata["x-request-id"] == reply.headers["x-request-id"]


async def test_a_browser_on_this_machine_may_ask(http):
    preflight = {"origin": "http://localhost:3000", "access-control-request-method": "POST"}
    for path in ("/v1/chat/completions", "/api/v1/generate", "/hybridinference.gateway.v1.InferenceService/Generate"):
        reply = await http.options(path, headers=preflight)
        assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (200, "http://localhost:3000")


async def test_a_browser_may_read_every_header_of_an_answer_and_set_a_deadline(http):
    origin = {"origin": "http://localhost:3000"}
    route = inference.Route(provider="p", attempts=1, worker="w")
    limited = Unlimited()
    limited.requests = limited.tokens = Meter(1, 1, 1.0)
    told = (*headers.of_call(traceparent="t", seconds=0), *headers.of_route(route, "m"), *limit_headers(limited))
    names = {name for name, _ in told} | {dropped.HEADER, "retry-after", "x-should-retry", "x-request-id"}
    reply = await http.get("/v1/models", headers=origin)
    assert names <= set(reply.headers["access-control-expose-headers"].split(","))
    asked = origin | {"access-control-request-method": "POST", "access-control-request-headers": TIMEOUT}
    reply = await http.options("/v1/chat/completions", headers=asked)
    assert TIMEOUT in reply.headers["access-control-allow-headers"].split(",")


async def test_a_browser_elsewhere_may_not(http, gateway):
    preflight = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    reply = await http.options("/v1/chat/completions", headers=preflight)
    assert "access-control-allow-origin" not in reply.headers
    assert gateway.script.begun.empty()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v1/generate"])
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "TEXT/plain;application/json", ""]
)
async def test_a_page_elsewhere_may_not_send_what_needs_no_preflight(http, gateway, path, content_type):
    headers = {"origin": "https://evil.example", "sec-fetch-site": "cross-site", "content-type": content_type}
    reply = await http.post(path, content='{"model": "any"}', headers={k: v for k, v in headers.items() if v})
    assert reply.status_code == 415
    assert "application/json" in reply.json().get("error", reply.json())["message"]
    assert gateway.script.begun.empty()


@pytest.mark.parametrize(
    ("site", "content_type"),
    [
        ("cross-site", "application/json"),
        ("same-site", "Application/JSON; charset=utf-8"),
        ("same-origin", "text/plain"),
        ("none", "text/plain"),
    ],
)
async def test_a_page_that_may_be_let_in_is(http, site, content_type):
    headers = {"sec-fetch-site": site, "content-type": content_type}
    reply = await http.post("/v1/chat/completions", content='{"model": "any"}', headers=headers)
    assert reply.status_code == 200


async def test_the_access_log_tells_paths_without_secrets(envoy, http):
    await http.get("/v1/models?key=sk-secret", headers={"authorization": "Bearer sk-secret", "x-request-id": "find-me"})
    log = await envoy.logged("find-me")
    line = next(line for line in log.splitlines() if "find-me" in line)
    assert '"path":"/v1/models"' in line
    assert "sk-secret" not in log


async def test_envoys_own_log_holds_no_error(envoy):
    said = (envoy.home / "logs/envoy.log").read_text()
    assert "[error]" not in said
    assert "[critical]" not in said
