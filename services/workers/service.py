"""The worker's gRPC face: thin, the same for every provider."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.worker.v1 import worker_service_pb2 as worker
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from services.chassis.deadline import Deadline, to_seconds
from services.chassis.failure import Failure
from services.workers.execution import Executor
from services.workers.session import Session
from services.workers.status import StatusBoard

Context = grpc.aio.ServicerContext[Any, Any]
NAME = worker.DESCRIPTOR.services_by_name["WorkerService"].full_name
# They end only when their caller wants; a drain does not wait for them.
ENDLESS = (f"/{NAME}/WatchStatus",)


class WorkerServicer(worker_grpc.WorkerServiceServicer):
    """Session and Execute over one executor, and the status board."""

    def __init__(self, executor: Executor, board: StatusBoard) -> None:
        self._executor = executor
        self._board = board

    async def Session(self, request_iterator: AsyncIterator[worker.SessionRequest], context: Context) -> None:  # type: ignore[override]
        await Session(self._executor).serve(request_iterator, context.write)

    async def Execute(self, request: worker.ExecuteRequest, context: Context) -> None:  # type: ignore[override]
        await self._executor.run(
            request.spec,
            lambda event: context.write(worker.ExecuteResponse(event=event)),
            deadline=Deadline.after(context.time_remaining(), now=asyncio.get_running_loop().time()),
            generation_id=request.generation_id,
        )

    async def Embed(self, request: worker.EmbedRequest, context: Context) -> worker.EmbedResponse:
        left = to_seconds(request.time_left) if request.HasField("time_left") else None
        provider = self._executor.admitted()
        try:
            async with asyncio.timeout(left) as scope:
                embeddings, usage = await provider.embed(request.spec)
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise Failure(
                reasons.ERROR_REASON_DEADLINE_EXCEEDED,
                "The deadline passed before the vectors were there.",
                stage="total",
            ) from error
        return worker.EmbedResponse(embeddings=embeddings, usage=usage)

    async def WatchStatus(
        self, request: worker.WatchStatusRequest, context: Context
    ) -> AsyncIterator[worker.WatchStatusResponse]:
        async with contextlib.aclosing(self._board.watch()) as reports:
            async for status in reports:
                yield worker.WatchStatusResponse(status=status)
