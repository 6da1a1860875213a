"""The worker's gRPC face: thin, the same for every provider."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
from hybridinference.worker.v1 import worker_service_pb2 as worker
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from services.chassis import traceparent as w3c
from services.chassis.deadline import Deadline, to_seconds
from services.workers.execution import Executor
from services.workers.order import Order
from services.workers.provider import AttemptContext
from services.workers.session import Session
from services.workers.status import StatusBoard

Context = grpc.aio.ServicerContext[Any, Any]
NAME = worker.DESCRIPTOR.services_by_name["WorkerService"].full_name
# Trailing metadata of Embed.
TRIES = "hybrid-tries-bin"
# They end only when their caller wants; a drain does not wait for them.
ENDLESS = (f"/{NAME}/WatchStatus",)


class WorkerServicer(worker_grpc.WorkerServiceServicer):
    """Session, Execute and Embed over one executor, and the status board."""

    def __init__(self, executor: Executor, board: StatusBoard) -> None:
        self._executor = executor
        self._board = board

    async def Session(self, request_iterator: AsyncIterator[worker.SessionRequest], context: Context) -> None:  # type: ignore[override]
        await Session(self._executor).serve(request_iterator, context.write)

    async def Execute(self, request: worker.ExecuteRequest, context: Context) -> None:  # type: ignore[override]
        order = Order(
            deadline=_deadline(context.time_remaining()),
            context=AttemptContext(tenant=request.tenant),
            generation_id=request.generation_id,
            drop_unsupported=request.drop_unsupported,
        )
        await self._executor.run(request.spec, lambda event: context.write(worker.ExecuteResponse(event=event)), order)

    async def Embed(self, request: worker.EmbedRequest, context: Context) -> worker.EmbedResponse:
        order = Order(
            deadline=_deadline(to_seconds(request.time_left) if request.HasField("time_left") else None),
            context=AttemptContext(tenant=request.tenant),
            attempt_id=request.attempt_id,
            generation_id=request.generation_id,
            traceparent=w3c.accepted(request.traceparent),
            drop_unsupported=request.drop_unsupported,
        )
        try:
            embedded = await self._executor.embed(request.spec, order)
        finally:
            # Beside the answer, since a failure has none.
            tries = worker.EmbedTries(tries=order.context.tries)
            context.set_trailing_metadata(((TRIES, tries.SerializeToString()),))
        return worker.EmbedResponse(
            embeddings=embedded.embeddings,
            usage=embedded.usage,
            provider_model=embedded.provider_model,
            dropped_fields=embedded.dropped_fields,
        )

    async def WatchStatus(
        self, request: worker.WatchStatusRequest, context: Context
    ) -> AsyncIterator[worker.WatchStatusResponse]:
        async with contextlib.aclosing(self._board.watch(prefixes=request.prefixes)) as reports:
            async for status in reports:
                yield worker.WatchStatusResponse(status=status)


def _deadline(left: float | None) -> Deadline:
    return Deadline.after(left, now=asyncio.get_running_loop().time())
