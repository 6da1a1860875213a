"""One reply of the OpenAI face: its status and headers with the first byte, and failures in OpenAI's words."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

import grpc
import structlog
from google.api.httpbody_pb2 import HttpBody
from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.gateway.call import Call
from services.gateway.idempotency import verdict
from services.gateway.openai import dropped, errors, headers
from services.gateway.pricing.told import cost_comment
from services.gateway.quota.refusal import Limited
from services.gateway.quota.reservation import UNLIMITED, Metered
from services.gateway.quota.told import limit_headers

LOG = structlog.get_logger()

JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"
COMMENT = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
PIECE_BYTES = 1 << 20  # of one message: the edge holds each whole, and answers 500 where the first exceeds its 32 MiB

Context = grpc.aio.ServicerContext[Any, Any]
ErrorEvent = Callable[[Failure, errors.ParamOf], bytes]


class Running(Protocol):
    """What serves a request: an accepted one, or several as one."""

    @property
    def call(self) -> Call[Any]:
        """What is asked for."""

    @property
    def provider_model(self) -> str:
        """The provider's name of the model; "" before it is placed."""

    @property
    def dropped(self) -> tuple[str, ...]:
        """Fields that the provider does not have, as far as is known."""

    @property
    def limits(self) -> Metered:
        """Where the limits of the caller's key stand."""

    def route(self) -> inference.Route:
        """How it is served, as far as that is known; empty before it is placed."""


class Reply:
    """One reply. Before its first byte a failure is an HTTP status; after it, an error event."""

    def __init__(self, context: Context, *, traceparent: str, keep_alive_seconds: float) -> None:
        """`keep_alive_seconds` of silence bring a comment into a stream; 0 is never."""
        self.param_of: errors.ParamOf = errors.param_of  # what the caller calls a field of the spec
        self._context = context
        self._send = context.write
        self._traceparent = traceparent
        self._keep_alive_seconds = keep_alive_seconds
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._arrived_at = self._now()
        self._begun = False
        self._running: Running | None = None
        self._limits: Metered = UNLIMITED
        self._error_event: ErrorEvent = errors.event
        # Of comments: at most one timer, and a task only while one is written. A token costs a glance at the clock.
        self._silent_since: float | None = self._arrived_at  # None while something is written
        self._timer: asyncio.TimerHandle | None = None
        self._comment: asyncio.Task[None] | None = None

    def serve(self, running: Running, *, error_event: ErrorEvent = errors.event) -> None:
        """From here on headers say how a request is served, and its stream, if it is one, is kept alive.

        Args:
            running: what serves it.
            error_event: makes the event that ends a stream which fails.
        """
        self._running = running
        self._error_event = error_event
        if running.call.streamed and self._keep_alive_seconds:
            self._timer = self._loop.call_later(self._keep_alive_seconds, self._perhaps_comment)

    async def write(self, data: bytes, content_type: str) -> None:
        """Write a piece. The content type counts in the first one only."""
        if not data:
            return
        if self._comment is not None:  # gRPC takes one write at a time
            await self._comment
        if not self._begun:
            await self._begin(data, content_type)
            return
        await self._put(data)

    async def write_events(self, data: bytes) -> None:
        """Write pieces of a stream; before the last of them, what it has cost."""
        if self._running is not None and data.endswith(DONE):
            data = data.removesuffix(DONE) + cost_comment(self._running.route()) + DONE
        await self.write(data, EVENTS)

    @contextlib.asynccontextmanager
    async def failing_in_kind(self) -> AsyncIterator[None]:
        """Tell a failure in OpenAI's words: a stream that merely ended would pass for a whole answer."""
        try:
            try:
                yield
            except Failure as failure:
                await self._fail(failure)
            except grpc.aio.InternalError:  # a write that nobody takes: there is nobody to tell
                raise
            except Exception as error:
                LOG.error("openai.crashed", error=type(error).__name__, exc_info=error)
                await self._fail(Failure(reasons.ERROR_REASON_INTERNAL, "The mesh failed to handle this request."))
            if self._comment is not None:  # gRPC does not end a call while it writes
                await self._comment
        finally:
            if self._timer is not None:
                self._timer.cancel()
            if self._comment is not None:
                self._comment.cancel()
                await asyncio.wait((self._comment,))

    async def _fail(self, failure: Failure) -> None:
        verdict.failed()
        if self._comment is not None:
            await self._comment
        if self._begun:
            await self.write(self._error_event(failure, self.param_of), EVENTS)
            return
        answer = errors.render(failure, self.param_of)
        if isinstance(failure, Limited):
            self._limits = failure
        await self._begin(answer.body, JSON, ("x-http-status", str(answer.http_status)), *answer.headers)

    async def _begin(self, data: bytes, content_type: str, *more: tuple[str, str]) -> None:
        """Write headers and the first piece."""
        metadata = (*more, *self._headers())
        self._begun = True
        self._silent_since = None
        await self._context.send_initial_metadata(metadata)
        await self._put(data, content_type)

    async def _put(self, data: bytes, content_type: str = "") -> None:
        self._silent_since = None
        start = 0
        while len(data) - start > PIECE_BYTES:
            await self._send(HttpBody(content_type=content_type, data=data[start : start + PIECE_BYTES]))
            start += PIECE_BYTES
        await self._send(HttpBody(content_type=content_type, data=data[start:]))
        self._silent_since = self._now()

    def _headers(self) -> headers.Headers:
        """What is known when the first byte is written."""
        of_call = headers.of_call(traceparent=self._traceparent, seconds=self._now() - self._arrived_at)
        running = self._running
        if running is None:
            return (*of_call, *limit_headers(self._limits))
        of_route = headers.of_route(running.route(), running.provider_model)
        limits = self._limits if self._limits is not UNLIMITED else running.limits
        of_route = (*limit_headers(limits), *of_route)
        return (*of_call, *of_route, *dropped.header(running.dropped, running.call.spec, self.param_of))

    def _perhaps_comment(self) -> None:
        """Write a comment where it has been silent for long; else look again when it may have been."""
        now = self._now()
        # A write that nobody takes is not silence: a comment would only stand in line behind it.
        due = (now if self._silent_since is None else self._silent_since) + self._keep_alive_seconds
        if due > now:
            self._timer = self._loop.call_at(due, self._perhaps_comment)
        else:
            self._comment = self._loop.create_task(self._write_comment())

    async def _write_comment(self) -> None:
        try:
            # The call is over, and its cancellation on its way.
            with contextlib.suppress(grpc.aio.InternalError, grpc.aio.UsageError):
                if self._begun:
                    await self._put(COMMENT)
                else:
                    await self._begin(COMMENT, EVENTS)
        finally:
            self._comment = None
        self._perhaps_comment()
