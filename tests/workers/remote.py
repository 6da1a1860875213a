"""A worker process as a provider, for what every provider is put through."""

import contextlib
from collections.abc import AsyncGenerator, Sequence

import grpc
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.worker.v1 import worker_service_pb2 as worker
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from services.workers.provider import AttemptContext, Embedded, Load, ServedModel


class RemoteProvider:
    """Implements `services.workers.provider.Provider` over a worker's Execute, without what no caller can see."""

    def __init__(self, stub: "worker_grpc.WorkerServiceAsyncStub") -> None:
        self._stub = stub

    @property
    def models(self) -> Sequence[ServedModel]:
        raise NotImplementedError

    def load(self) -> Load:
        """Nothing: ask for its `status`."""
        return Load()

    async def status(self) -> worker_status.WorkerStatus:
        """What the worker says of itself now."""
        reports = self._stub.WatchStatus(worker.WatchStatusRequest(), timeout=5)
        try:
            report = await reports.read()
            assert isinstance(report, worker.WatchStatusResponse)
            return report.status
        finally:
            reports.cancel()

    async def generate(
        self, spec: generation.GenerationSpec, context: AttemptContext
    ) -> AsyncGenerator[generation.GenerationEvent, None]:
        call = self._stub.Execute(worker.ExecuteRequest(spec=spec, tenant=context.tenant))
        try:
            async for response in call:
                yield response.event
        finally:
            call.cancel()
            with contextlib.suppress(grpc.aio.AioRpcError):
                await call.code()

    async def embed(self, spec: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
        raise NotImplementedError

    async def died(self) -> str:
        raise NotImplementedError
