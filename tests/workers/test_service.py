"""Execute and Embed, over real calls."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.worker.v1 import worker_service_pb2 as worker
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from services.chassis import status
from services.chassis.channel import open_channel
from services.chassis.deadline import to_duration
from services.workers.provider import AttemptContext
from tests.fakes import (
    Events,
    RunningWorker,
    ScriptedProvider,
    delta,
    eventually,
    finished,
    running_worker,
    saying,
    spec,
    started,
)


async def _all(call: Any) -> list[Any]:
    return [response async for response in call]


async def _forever() -> Events:
    yield started()
    await asyncio.get_running_loop().create_future()


async def _floods() -> Events:
    yield started()
    while True:
        await asyncio.sleep(0)
        yield delta("x" * 10_000)


@pytest.fixture
def address() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="hy") as directory:
        yield f"unix:{directory}/w.sock"


@pytest.fixture
async def provider() -> ScriptedProvider:
    answers = saying(started(), delta("a"), finished())
    return ScriptedProvider({"answers": answers, "forever": _forever, "floods": _floods})


@pytest.fixture
async def running(address: str, provider: ScriptedProvider) -> AsyncIterator[RunningWorker]:
    async with running_worker(address, provider) as up:
        yield up


@pytest.fixture
async def stub(running: RunningWorker) -> AsyncIterator[Any]:
    async with open_channel(running.address) as channel:
        yield worker_grpc.WorkerServiceStub(channel)


async def test_execute_streams_one_generation(stub: Any) -> None:
    call = stub.Execute(worker.ExecuteRequest(spec=spec("answers")))
    kinds = [response.event.WhichOneof("event") async for response in call]
    assert kinds == ["started", "delta", "finished"]


async def test_a_client_that_leaves_ends_its_generation_within_a_second(stub: Any, provider: ScriptedProvider) -> None:
    for script in ("forever", "floods"):
        call = stub.Execute(worker.ExecuteRequest(spec=spec(script)))
        await call.read()
        assert provider.running == 1
        call.cancel()
        await eventually(lambda: provider.running == 0, seconds=1)


async def test_the_deadline_of_the_call_ends_the_generation(stub: Any, provider: ScriptedProvider) -> None:
    call = stub.Execute(worker.ExecuteRequest(spec=spec("forever")), timeout=0.2)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _all(call)
    assert status.from_rpc_error(caught.value).reason == reasons.ERROR_REASON_DEADLINE_EXCEEDED
    await eventually(lambda: provider.running == 0, seconds=1)


async def test_what_the_model_cannot_do_is_refused_before_the_provider_is_asked(
    stub: Any, provider: ScriptedProvider
) -> None:
    asked = spec("answers")
    asked.choices = 2
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Execute(worker.ExecuteRequest(spec=asked)).read()
    failure = status.from_rpc_error(caught.value)
    assert failure.reason == reasons.ERROR_REASON_UNSUPPORTED
    assert failure.metadata["field"] == "choices"
    assert provider.closed == []


async def test_embed_gives_a_vector_per_input(stub: Any) -> None:
    inputs = [embedding.EmbeddingInput(text=text) for text in ("a", "b")]
    answer = await stub.Embed(worker.EmbedRequest(spec=embedding.EmbeddingSpec(model="scripted", inputs=inputs)))
    assert len(answer.embeddings) == 2


async def test_embed_refuses_what_is_not_offered_or_leaves_it_out_and_says_so(stub: Any) -> None:
    asked = embedding.EmbeddingSpec(model="scripted", provider_options_json='{"truncate": "END"}')
    asked.inputs.add(text="a")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Embed(worker.EmbedRequest(spec=asked))
    failure = status.from_rpc_error(caught.value)
    assert failure.reason == reasons.ERROR_REASON_UNSUPPORTED
    assert failure.metadata["field"] == "provider_options_json.truncate"
    answer = await stub.Embed(worker.EmbedRequest(spec=asked, drop_unsupported=True))
    assert list(answer.dropped_fields) == ["provider_options_json"]


async def test_embed_ends_at_its_deadline(
    stub: Any, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(spec: embedding.EmbeddingSpec, context: AttemptContext) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(provider, "embed", never)
    asked = embedding.EmbeddingSpec(model="scripted")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Embed(worker.EmbedRequest(spec=asked, time_left=to_duration(0.05)))
    assert status.from_rpc_error(caught.value).reason == reasons.ERROR_REASON_DEADLINE_EXCEEDED


@pytest.mark.parametrize("method", ["Embed", "Execute"])
async def test_a_draining_worker_refuses_new_calls(running: RunningWorker, stub: Any, method: str) -> None:
    running.executor.begin_draining()
    embed, execute = worker.EmbedRequest(), worker.ExecuteRequest(spec=spec("answers"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (stub.Embed(embed) if method == "Embed" else stub.Execute(execute).read())
    failure = status.from_rpc_error(caught.value)
    assert failure.reason == reasons.ERROR_REASON_WORKER_DRAINING
    assert failure.metadata == {"worker": "scripted-0"}


async def test_a_worker_that_loads_refuses_calls_with_a_time_to_come_back(address: str) -> None:
    async with running_worker(address, None), open_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await worker_grpc.WorkerServiceStub(channel).Embed(worker.EmbedRequest())
    failure = status.from_rpc_error(caught.value)
    assert (failure.reason, failure.retry_after) == (reasons.ERROR_REASON_WORKER_LOADING, 1.0)
    assert failure.metadata == {"worker": "scripted-0"}
