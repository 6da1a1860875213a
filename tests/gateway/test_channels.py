"""Channels for calls of their own."""

import asyncio
import pathlib
import tempfile

import grpc
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.worker.v1 import worker_service_pb2 as worker
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from services.gateway.channels import Channels, open_channels
from services.workers.provider import AttemptContext, Embedded
from tests.fakes import ScriptedProvider, eventually, running_worker

REQUEST = worker.EmbedRequest(
    spec=embedding.EmbeddingSpec(model="scripted", inputs=[embedding.EmbeddingInput(text="a")], user="waits")
)


async def embed(channels: Channels, address: str) -> worker.EmbedResponse:
    async with channels.to(address, "worker") as channel:
        answer: worker.EmbedResponse = await worker_grpc.WorkerServiceStub(channel).Embed(REQUEST)
        return answer


async def refused(channels: Channels, address: str) -> bool:
    """Whether nobody listens there."""
    try:
        async with asyncio.timeout(0.2):
            await embed(channels, address)
    except grpc.aio.AioRpcError as error:
        return error.code() is grpc.StatusCode.UNAVAILABLE
    except TimeoutError:
        pass
    return False


async def test_a_worker_that_stops_finishes_what_it_has_begun_whoever_asks_it_in_vain() -> None:
    go = asyncio.Event()

    async def waits(spec: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
        await go.wait()
        return Embedded([embedding.Embedding(values=[1.0])], generation.Usage(), "m")

    provider = ScriptedProvider({})
    provider.embeds = {"waits": waits}
    with tempfile.TemporaryDirectory(prefix="g-") as directory:
        address = f"unix:{pathlib.Path(directory, 'w.sock')}"
        async with running_worker(address, provider) as running, open_channels() as channels:
            begun = asyncio.create_task(embed(channels, address))
            await eventually(lambda: provider.running == 1, seconds=30)
            stopping = asyncio.create_task(running.server.drain(seconds=5))
            async with asyncio.timeout(30):
                while not await refused(channels, address):  # until it has stopped listening
                    pass
            await refused(channels, address)
            assert not begun.done()
            go.set()
            assert len((await begun).embeddings) == 1
            await stopping
