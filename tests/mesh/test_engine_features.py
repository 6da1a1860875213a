"""Tools, structured output, adapters and embeddings of the real engine, through the whole mesh."""

import contextlib
import json
import math
import os
import pathlib
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import openai
import psutil
import pytest
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.worker.v1 import worker_service_pb2 as worker
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from services.chassis import status
from services.chassis.channel import open_channel
from services.cli.setup.models import minilm_directory, smollm2_directory
from tests.mesh.driver import Mesh, mesh, until
from tests.workers.vllm.adapter import write_adapter
from tests.workers.vllm.process import TEMPLATE

pytestmark = [pytest.mark.slow, pytest.mark.edge, pytest.mark.engine]

CONFIG = """
gateway: {{drain_seconds: 2}}
providers:
  chat:
    kind: vllm
    model: {chat}
    served_model: smollm2
    tool_parser: hermes
    chat_template: {template}
    lora_adapters: {{small: {{path: {adapters}/small}}, large: {{path: {adapters}/large}}}}
    drain_seconds: 2
  vectors:
    kind: vllm
    model: {vectors}
    served_model: minilm
    drain_seconds: 2
models:
  - {{name: chat, routes: [{{provider: chat, model: smollm2}}]}}
  - {{name: small, routes: [{{provider: chat, model: small}}]}}
  - {{name: large, routes: [{{provider: chat, model: large}}]}}
  - {{name: vectors, routes: [{{provider: vectors}}]}}
"""
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
CITY = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}
SCHEMA = CITY | {"additionalProperties": False}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "find_hotel", "parameters": SCHEMA}},
]


@pytest.fixture(scope="module")
def running() -> Iterator[Mesh]:
    """A mesh of two engines: one for chat, with tools and adapters, one for vectors."""
    hint = "no embedding model: run python3.11 -m services.cli.setup embedding-model"
    assert minilm_directory().is_dir(), hint
    directory = pathlib.Path(tempfile.mkdtemp(prefix="hi-"))
    write_adapter(directory / "small", scale=1e-6)
    write_adapter(directory / "large", scale=0.5)
    config = CONFIG.format(chat=smollm2_directory(), vectors=minilm_directory(), template=TEMPLATE, adapters=directory)
    try:
        with mesh(config, timeout=240) as up:
            yield up
    finally:
        shutil.rmtree(directory)


@contextlib.asynccontextmanager
async def worker_of(running: Mesh, name: str) -> AsyncIterator["worker_grpc.WorkerServiceAsyncStub"]:
    """A worker's own service, past the mesh."""
    async with open_channel(f"unix:{running.socket(f'worker-{name}')}") as channel:
        yield worker_grpc.WorkerServiceStub(channel)


async def report_of(stub: "worker_grpc.WorkerServiceAsyncStub") -> Any:
    call = stub.WatchStatus(worker.WatchStatusRequest(), timeout=10)
    try:
        return (await anext(aiter(call))).status
    finally:
        call.cancel()


def asking(*texts: str) -> worker.EmbedRequest:
    inputs = [embedding.EmbeddingInput(text=text) for text in texts]
    return worker.EmbedRequest(spec=embedding.EmbeddingSpec(model="minilm", inputs=inputs))


def test_a_required_call_streams_through_the_mesh(running: Mesh) -> None:
    stream = running.client.chat.completions.create(
        model="chat", messages=QUESTION, tools=TOOLS, tool_choice="required", temperature=0, max_tokens=80, stream=True
    )
    names, arguments, pieces, finish = [], "", 0, None
    for chunk in stream:
        for call in chunk.choices[0].delta.tool_calls or ():
            if call.function.name:
                names.append(call.function.name)
            arguments += call.function.arguments or ""
            pieces += 1
        finish = chunk.choices[0].finish_reason or finish
    assert len(names) == 1
    assert json.loads(arguments)["city"] in ("Paris", "Rome")
    assert pieces > 4, "arguments are streamed"
    assert finish == "tool_calls"


async def test_a_client_that_leaves_a_stream_of_calls_frees_the_engine_within_a_second(running: Mesh) -> None:
    async with worker_of(running, "chat-0") as stub, running.async_client() as client:

        async def busy(expected: bool) -> bool:
            report = await report_of(stub)
            return bool(report.running + report.waiting) is expected

        stream = await client.chat.completions.create(
            model="chat",
            messages=QUESTION,
            tools=TOOLS,
            tool_choice="required",
            max_tokens=1500,
            stream=True,
            extra_body={"min_tokens": 1400},
        )
        await anext(aiter(stream))
        await until(lambda: busy(True), seconds=30)
        await stream.close()
        took = await until(lambda: busy(False), seconds=1)
    print(f"engine free {took * 1e3:.0f} ms after the client left")


def test_the_tool_that_is_named_is_called_and_its_result_is_read(running: Mesh) -> None:
    choice = {"type": "function", "function": {"name": "find_hotel"}}
    answer = running.client.chat.completions.create(
        model="chat", messages=QUESTION, tools=TOOLS, tool_choice=choice, temperature=0, max_tokens=80
    )
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "find_hotel"
    assert json.loads(call.function.arguments)["city"] in ("Paris", "Rome")
    result = {"role": "tool", "tool_call_id": call.id, "content": "Hotel Ritz, 900 euros"}
    messages = [*QUESTION, answer.choices[0].message.model_dump(exclude_none=True), result]
    after = running.client.chat.completions.create(
        model="chat", messages=messages, tools=TOOLS, temperature=0, max_tokens=24
    )
    assert "Ritz" in after.choices[0].message.content


def test_a_schema_is_kept_to(running: Mesh) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA, "strict": True}}
    answer = running.client.chat.completions.create(
        model="chat", messages=QUESTION, response_format=form, temperature=0, max_tokens=40
    )
    assert json.loads(answer.choices[0].message.content) in ({"city": "Paris"}, {"city": "Rome"})


def test_an_adapter_answers_under_its_own_name(running: Mesh) -> None:
    answers = {
        name: running.client.chat.completions.create(model=name, messages=QUESTION, temperature=0, max_tokens=12)
        for name in ("chat", "small", "large")
    }
    texts = {name: answer.choices[0].message.content for name, answer in answers.items()}
    assert texts["chat"] == texts["small"] == "The capital of France is Paris."
    assert "Paris" not in texts["large"]


def test_options_of_vllms_own_api_are_taken_and_what_reaches_into_it_is_refused_by_name(running: Mesh) -> None:
    answer = running.client.chat.completions.create(
        model="chat", messages=QUESTION, extra_body={"structured_outputs": {"choice": ["yes", "no"]}}, max_tokens=5
    )
    assert answer.choices[0].message.content in ("yes", "no")
    with pytest.raises(openai.BadRequestError) as caught:
        running.client.chat.completions.create(
            model="chat", messages=QUESTION, extra_body={"prompt_embeds": "AAAA"}, max_tokens=5
        )
    assert caught.value.param == "prompt_embeds"


def test_pictures_are_refused_by_a_model_that_cannot_see(running: Mesh) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQI="}}
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, picture]}]
    with pytest.raises(openai.BadRequestError):
        running.client.chat.completions.create(model="chat", messages=messages, max_tokens=5)


def test_embeddings_through_the_sdk(running: Mesh) -> None:
    texts = ["A cat sits on the mat.", "A kitten is sitting on a rug.", "Stocks fell sharply on Monday."]
    made = running.client.embeddings.create(model="vectors", input=texts)
    cat, kitten, stocks = (one.embedding for one in made.data)
    assert len(cat) == 384
    assert _dot(cat, cat) == pytest.approx(1, abs=1e-3)
    assert _dot(cat, kitten) > 0.4 > _dot(cat, stocks)
    assert made.usage.prompt_tokens > 20


async def test_vectors_of_the_worker_itself_say_what_is_alike(running: Mesh) -> None:
    async with worker_of(running, "vectors-0") as stub:
        (served,) = (await report_of(stub)).models
        assert set(served.capabilities) == {model.CAPABILITY_EMBEDDINGS, model.CAPABILITY_TOKEN_INPUTS}
        assert served.context_tokens == 256
        answer = await stub.Embed(asking("A cat sits.", "A kitten is sitting.", "Stocks fell sharply."), timeout=30)
        cat, kitten, stocks = (list(vector.values) for vector in answer.embeddings)
        assert len(cat) == 384
        assert _dot(cat, cat) == pytest.approx(1, abs=1e-3)
        assert _dot(cat, kitten) > 0.4 > _dot(cat, stocks)
        ids = embedding.EmbeddingInput(token_ids=embedding.TokenIds(ids=[101, 1037, 4937, 7719, 1012, 102]))
        same = await stub.Embed(
            worker.EmbedRequest(spec=embedding.EmbeddingSpec(model="minilm", inputs=[ids])), timeout=30
        )
        assert _dot(cat, list(same.embeddings[0].values)) == pytest.approx(1, abs=1e-3)
        assert same.usage.input_tokens == 6


@pytest.mark.parametrize(
    ("more", "field"), [({"inputs": ["word " * 300]}, "inputs[1]"), ({"dimensions": 8}, "dimensions")]
)
async def test_what_cannot_be_embedded_names_the_field(running: Mesh, more: dict[str, Any], field: str) -> None:
    request = asking("short", *more.get("inputs", ()))
    if "dimensions" in more:
        request.spec.dimensions = more["dimensions"]
    async with worker_of(running, "vectors-0") as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Embed(request, timeout=30)
    failure = status.from_rpc_error(caught.value)
    expected = reasons.ERROR_REASON_CONTEXT_TOO_LONG if "inputs" in more else reasons.ERROR_REASON_UNSUPPORTED
    assert (failure.reason, failure.metadata["field"]) == (expected, field)


async def test_a_cancelled_embedding_frees_the_engine_within_a_second(running: Mesh) -> None:
    async with worker_of(running, "vectors-0") as stub:

        async def under_way(expected: bool) -> bool:
            report = await report_of(stub)
            return bool(report.running + report.waiting) is expected

        call = stub.Embed(asking(*[f"{number} is a number. " * 30 for number in range(2000)]), timeout=60)
        await until(lambda: under_way(True), seconds=30)
        call.cancel()
        took = await until(lambda: under_way(False), seconds=1)
        assert len((await stub.Embed(asking("after"), timeout=5)).embeddings) == 1
    print(f"engine free {took * 1e3:.0f} ms after the call was cancelled")


async def test_a_killed_worker_leaves_no_engine_of_vectors(running: Mesh) -> None:
    """Last, since it takes the worker away from the others."""
    pid = running.pid("vectors-0")
    engines = list(psutil.Process(pid).children(recursive=True))
    assert engines
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not any(engine.is_running() for engine in engines), seconds=30)


def _dot(one: list[float], other: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))
