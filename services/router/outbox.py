"""What is to be sent on one Place stream."""

import asyncio
import contextlib
from typing import Any

import grpc
from hybridinference.router.v1 import router_service_pb2 as router_service

Context = grpc.aio.ServicerContext[Any, Any]


class Outbox:
    """Answers for one gateway, written by one writer at a time, those that are ready at one moment together."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ready = router_service.PlaceResponse()
        self._writing = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None

    def add(self) -> router_service.PlaceAnswer:
        """One more answer, to be filled in at once, which saves a copy, and sent with the next `flush` or `hurry`."""
        return self._ready.answers.add()

    async def flush(self) -> None:
        """Send all there is, after whoever is at it: a gateway that does not read is not read from either."""
        async with self._writing:
            while self._ready.answers:
                ready, self._ready = self._ready, router_service.PlaceResponse()
                await self._context.write(ready)

    def hurry(self) -> None:
        """Send what there is, soon, whatever the stream's reader is at."""
        if not self._writing.locked() and (self._writer is None or self._writer.done()):
            self._writer = asyncio.create_task(self._flushed())

    def close(self) -> None:
        """The stream is over."""
        if self._writer is not None:
            self._writer.cancel()

    async def _flushed(self) -> None:
        # Of a stream that is over its reader knows.
        with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.UsageError, grpc.aio.InternalError):
            await self.flush()
