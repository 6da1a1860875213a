"""Traces of a whole mesh: one for each request, connected through every process, at a collector that takes OTLP."""

import asyncio
import functools
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import openai
import pytest
from hybridinference.gateway.v1 import inference_service_pb2 as gateway
from hybridinference.gateway.v1 import inference_service_pb2_grpc as gateway_grpc
from hybridinference.inference.v1 import conversation_pb2 as conversation

from services.chassis.channel import open_channel
from tests.collector import Collector, Received, collector
from tests.mesh.driver import Mesh, mesh, until, wait_until
from tests.vendors.http_server import in_a_thread
from tests.vendors.openai_server import Asked, OpenAIServer, Script, failing, openai_server, text

pytestmark = [pytest.mark.slow, pytest.mark.edge]

CONFIG = """
gateway: {{drain_seconds: 2, show_worker: true}}
tracing: {{endpoint: "{collector}"}}
router: {{hedge: {{budget_ratio: 1.0, least_seconds: 0.2}}}}
flags: {{hedging: {{models: [hedged]}}}}
providers:
  failing: {{kind: echo, failure_rate: 1.0}}
  echo: {{kind: echo, workers: 2, token_ms: 10, drain_seconds: 0.3}}
  slow: {{kind: echo, first_token_ms: 60000, drain_seconds: 0.3}}
  vendor: {{kind: openai, base_url: "{vendor}", api_keys: [k1, k2], models: [big]}}
models:
  - name: fragile
    routes: [{{provider: failing}}, {{provider: echo, role: fallback}}]
  - name: echo
    routes: [{{provider: echo}}]
  - name: hedged
    routes: [{{provider: slow}}, {{provider: echo, role: fallback}}]
  - name: vendor
    routes: [{{provider: vendor}}]
"""
CANARY = "c4n4ry"
WORDS = " ".join(f"{CANARY}{number}" for number in range(7))
MESSAGES: Any = [{"role": "user", "content": WORDS}]
PARENT = "00f067aa0ba902b7"
ROLES = {"hybridinference-envoy", "hybridinference-gateway", "hybridinference-router", "hybridinference-worker"}


def answer(asked: Asked) -> Script:
    """The first key is limited."""
    return failing(429) if asked.key == "k1" else Script(text(f"{CANARY}1", "2"))


@pytest.fixture(scope="module")
def spans() -> Iterator[Collector]:
    """Where the mesh sends its spans."""
    with collector() as made:
        yield made


@pytest.fixture(scope="module")
def vendor() -> Iterator[OpenAIServer]:
    """A vendor."""
    with in_a_thread(openai_server(answer)) as made:
        yield made


@pytest.fixture(scope="module")
def running(spans: Collector, vendor: OpenAIServer) -> Iterator[Mesh]:
    """A mesh that sends them."""
    with mesh(CONFIG.format(collector=spans.endpoint, vendor=vendor.base_url)) as made:
        yield made


@pytest.fixture
async def client(running: Mesh) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official SDK at that mesh."""
    async with running.async_client() as client:
        yield client


def context() -> tuple[str, dict[str, str]]:
    """A caller's own trace: its id, and the header that says so."""
    trace = os.urandom(16).hex()
    return trace, {"traceparent": f"00-{trace}-{PARENT}-01"}


def arrived(spans: Collector, trace: str, *, of: int) -> list[Received]:
    """The spans of one trace, once there are so many; whether there are more shows at the end."""
    spans.wait(lambda all_of_them: sum(span.trace == trace for span in all_of_them) >= of)
    return spans.of(trace)


def one(spans: list[Received], service: str, **attributes: Any) -> Received:
    """The span of a process that has these attributes, dots as two underscores."""
    wanted = {name.replace("__", "."): value for name, value in attributes.items()}
    found = [
        span
        for span in spans
        if span.service == f"hybridinference-{service}" and wanted.items() <= span.attributes.items()
    ]
    assert len(found) == 1, (service, wanted, spans)
    return found[0]


def connected(spans: list[Received], *, root: str) -> None:
    """Every span stands below another one, or below the caller's."""
    ids = {span.id for span in spans}
    assert len(ids) == len(spans)
    assert [span for span in spans if span.parent not in ids | {root}] == []
    assert sum(span.parent == root for span in spans) == 1


def told(mesh: Mesh, process: str, event: str) -> list[dict[str, Any]]:
    """The lines of a process's log that tell of such an event."""
    log = (mesh.home / f"logs/{process}.log").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{") and line.endswith("}")]
    return [line for line in lines if line["event"] == event]


async def test_a_retry_and_a_continuation_are_siblings_in_one_trace_through_every_process(
    running: Mesh, client: openai.AsyncOpenAI, spans: Collector
) -> None:
    trace, headers = context()
    response = await client.chat.completions.with_raw_response.create(
        model="fragile", messages=MESSAGES, stream=True, extra_body={"echo": {"tokens": 400}}, extra_headers=headers
    )
    stopped, said, generation_id = response.headers["x-hybrid-worker"], "", ""
    async for chunk in response.parse():
        said += chunk.choices[0].delta.content or "" if chunk.choices else ""
        if not generation_id:
            generation_id = chunk.id.removeprefix("chatcmpl-")
            running.terminate(stopped)
    assert said.count(CANARY) == 400, "not whole"
    other = "echo-1" if stopped == "echo-0" else "echo-0"

    found = arrived(spans, trace, of=11)
    connected(found, root=PARENT)
    assert {span.service for span in found} == ROLES
    edge = one(found, "envoy")
    assert (edge.parent, edge.kind, edge.attributes["http.url"]) == (PARENT, "SERVER", "/v1/chat/completions")
    request = one(found, "gateway", gen_ai__operation__name="chat")
    assert (request.parent, request.kind, request.name, request.failed) == (edge.id, "SERVER", "chat fragile", False)
    assert request.attributes["gen_ai.response.id"] == generation_id
    assert request.attributes["gen_ai.usage.output_tokens"] == 400
    assert request.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert request.attributes["hybrid.attempts"] == 3
    before: tuple[str, ...] = ()
    for number, (kind, worker, error) in enumerate(
        [("first", "failing-0", "PROVIDER_UNAVAILABLE"), ("retry", stopped, True), ("continuation", other, None)], 1
    ):
        attempt = one(found, "gateway", hybrid__attempt__number=number)
        assert (attempt.parent, attempt.kind, attempt.links) == (request.id, "CLIENT", before)
        assert attempt.attributes["hybrid.attempt.kind"] == kind
        assert attempt.attributes["hybrid.worker"] == worker
        assert attempt.failed == (error is not None)
        if isinstance(error, str):
            assert attempt.attributes["error.type"] == error
        place = one(found, "router", hybrid__attempt__id=attempt.attributes["hybrid.attempt.id"])
        assert (place.parent, place.kind, place.attributes["hybrid.worker"]) == (request.id, "SERVER", worker)
        assert place.attributes["hybrid.attempt.kind"] == kind
        served = one(found, "worker", hybrid__attempt__id=attempt.attributes["hybrid.attempt.id"])
        assert (served.parent, served.instance, served.kind) == (attempt.id, worker, "SERVER")
        assert served.attributes["gen_ai.provider.name"] == "echo"
        assert served.attributes["hybrid.continuation"] == (kind == "continuation")
        before = (attempt.id,)
    assert len(found) == 11

    (line,) = [line for line in told(running, "gateway", "request.finished") if line["trace_id"] == trace]
    assert line["generation_id"] == generation_id
    assert line["edge_request_id"] == edge.attributes["guid:x-request-id"]
    (line,) = [line for line in told(running, "router", "generation.finished") if line["trace_id"] == trace]
    assert (line["generation_id"], line["worker"], line["continued"]) == (generation_id, other, 1)
    for worker in ("failing-0", stopped, other):
        (line,) = [line for line in told(running, worker, "attempt.finished") if line["trace_id"] == trace]
        assert line["generation_id"] == generation_id
    await until(lambda: running.row_of(generation_id)["trace_id"] == trace, seconds=30)


async def test_a_vendor_is_asked_within_the_trace_and_its_refusals_are_in_it(
    running: Mesh, client: openai.AsyncOpenAI, spans: Collector, vendor: OpenAIServer
) -> None:
    trace, headers = context()
    await client.chat.completions.create(model="vendor", messages=MESSAGES, extra_headers=headers)
    found = arrived(spans, trace, of=5)
    connected(found, root=PARENT)
    served = one(found, "worker", gen_ai__provider__name="openai")
    assert served.attributes["gen_ai.request.model"] == "big"
    assert served.attributes["gen_ai.response.model"] == "vendor-model-2026"
    assert served.attributes["gen_ai.usage.output_tokens"] == 2
    asked = [one.headers["traceparent"] for one in vendor.asked]
    assert set(asked) == {f"00-{trace}-{served.id}-01"}
    tries = len(asked) - 1
    assert served.events == ("provider.try",) * tries


async def test_without_a_caller_s_trace_one_begins_at_the_edge_or_past_it_at_the_gateway(
    running: Mesh, client: openai.AsyncOpenAI, spans: Collector
) -> None:
    over_http = await client.embeddings.with_raw_response.create(model="echo", input=["a"], encoding_format="float")
    trace = over_http.headers["traceparent"].split("-")[1]
    found = arrived(spans, trace, of=5)
    connected(found, root="")
    assert one(found, "envoy").parent == ""
    assert one(found, "gateway", gen_ai__operation__name="embeddings").name == "embeddings echo"
    assert one(found, "worker").attributes["gen_ai.operation.name"] == "embeddings"

    known = {span.trace for span in spans.spans}
    request = gateway.GenerateRequest()
    request.spec.model = "echo"
    request.spec.messages.add(role=conversation.ROLE_USER).parts.add(text=WORDS)
    async with open_channel(running.gateway) as channel:
        await gateway_grpc.InferenceServiceStub(channel).Generate(request, timeout=60)
    spans.wait(lambda all_of_them: len([span for span in all_of_them if span.trace not in known]) >= 4)
    (trace,) = {span.trace for span in spans.spans} - known
    found = spans.of(trace)
    connected(found, root="")
    assert one(found, "gateway", gen_ai__operation__name="chat").parent == ""
    assert {span.service for span in found} == ROLES - {"hybridinference-envoy"}


async def test_a_hedge_stands_beside_what_it_overtakes(
    running: Mesh, client: openai.AsyncOpenAI, spans: Collector
) -> None:
    quick = {"first_token_ms": 1}
    await client.chat.completions.create(model="hedged", messages=MESSAGES, extra_body={"echo": quick})
    trace, headers = context()
    await client.chat.completions.create(model="hedged", messages=MESSAGES, extra_headers=headers)
    found = arrived(spans, trace, of=8)
    connected(found, root=PARENT)
    first, hedge = (one(found, "gateway", hybrid__attempt__number=number) for number in (1, 2))
    assert (first.attributes["hybrid.worker"], first.attributes["error.type"]) == ("slow-0", "CANCELLED")
    assert not first.failed
    assert (hedge.attributes["hybrid.attempt.kind"], hedge.links) == ("hedge", (first.id,))
    assert first.parent == hedge.parent
    assert one(found, "worker", hybrid__worker="slow-0").attributes["error.type"] == "CANCELLED"


async def test_spans_end_when_the_caller_leaves_and_refusals_have_one(
    running: Mesh, client: openai.AsyncOpenAI, spans: Collector
) -> None:
    trace, headers = context()
    stream = await client.chat.completions.create(
        model="echo", messages=MESSAGES, stream=True, extra_body={"echo": {"tokens": 100_000}}, extra_headers=headers
    )
    await anext(aiter(stream))
    await stream.close()
    found = arrived(spans, trace, of=5)
    connected(found, root=PARENT)
    for service in ("gateway", "worker"):
        ended = [span for span in found if span.service == f"hybridinference-{service}"]
        assert {span.attributes["error.type"] for span in ended} == {"CANCELLED"}
        assert not any(span.failed for span in ended)

    trace, headers = context()
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="echo", messages=MESSAGES, temperature=-1, extra_headers=headers)
    found = arrived(spans, trace, of=2)
    refused = one(found, "gateway")
    assert refused.attributes["hybrid.outcome"] == "refused"
    assert (refused.attributes["error.type"], refused.failed) == ("SPEC_INVALID", True)

    trace, headers = context()
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.create(model=f"{CANARY}-model", messages=MESSAGES, extra_headers=headers)


async def test_a_trace_that_its_caller_does_not_keep_is_kept_by_nobody(
    running: Mesh, client: openai.AsyncOpenAI, spans: Collector
) -> None:
    trace = os.urandom(16).hex()
    headers = {"traceparent": f"00-{trace}-{PARENT}-00"}
    await client.chat.completions.create(model="echo", messages=MESSAGES, extra_headers=headers)
    later, headers = context()
    await client.chat.completions.create(model="echo", messages=MESSAGES, extra_headers=headers)
    arrived(spans, later, of=5)
    assert spans.of(trace) == []
    (line,) = [line for line in told(running, "gateway", "request.finished") if line["trace_id"] == trace]
    assert line["outcome"] == "success"


def levels(running: Mesh, process: str, wanted: list[str]) -> bool:
    """Whether a process has said that these are its levels, one after the other."""
    return [line["least"] for line in told(running, process, "log.level")] == wanted


async def test_every_process_says_more_when_it_is_asked_to(running: Mesh) -> None:
    processes = ("gateway", "router", "admin", "loader", "echo-0", "vendor-0")
    said: list[str] = []
    for number, least in ((signal.SIGUSR1, "debug"), (signal.SIGUSR2, "info")):
        said.append(least)
        for process in processes:
            os.kill(running.pid(process), number)
        for process in processes:
            wait_until(functools.partial(levels, running, process, said), seconds=60)


async def test_no_span_has_a_word_of_a_request_or_of_an_answer(
    running: Mesh, client: openai.AsyncOpenAI, spans: Collector
) -> None:
    """After all others, whose words these are."""
    headers = {"x-hybrid-session": CANARY, "user-agent": CANARY, "tracestate": f"a={CANARY}"}
    for path in (f"v1/chat/completions?key={CANARY}", f"api/v1/generate?{CANARY}=1", "api/v1/generate"):
        url = f"http://127.0.0.1:{running.port}/{path}"
        body = {"model": "echo", "messages": MESSAGES, "user": CANARY, "metadata": {"a": CANARY}, "stop": [CANARY]}
        asking = ["curl", "-s", "-o", "/dev/null", url, "-d", json.dumps(body)]
        for name, value in (headers | {"content-type": "application/json"}).items():
            asking += ["-H", f"{name}: {value}"]
        await asyncio.to_thread(subprocess.run, asking, check=True, timeout=60)
    request = gateway.GenerateRequest()
    request.spec.model = f"{CANARY}-model"
    request.spec.messages.add(role=conversation.ROLE_USER).parts.add(text=WORDS)
    async with open_channel(f"127.0.0.1:{running.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError, match=CANARY) as refused:
            await gateway_grpc.InferenceServiceStub(channel).Generate(request, timeout=60)
    trace, own = context()
    await client.chat.completions.create(
        model="echo", messages=MESSAGES, user=CANARY, extra_headers=headers | own, extra_query={"key": CANARY}
    )
    arrived(spans, trace, of=5)
    assert len({span.service for span in spans.spans}) == 4
    found = [span for span in spans.spans if CANARY.encode() in span.raw]
    # Envoy adds the status message of a gRPC call after all else, and cannot be told not to.
    assert [span.attributes.pop("grpc.message", "") for span in found] == [refused.value.details()]
    assert CANARY not in str(found[0].attributes)
