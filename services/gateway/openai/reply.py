"""One reply of the OpenAI face: its status and headers with the first byte, and failures in OpenAI's words."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import structlog
from google.api.httpbody_pb2 import HttpBody
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.gateway.openai import errors

LOG = structlog.get_logger()

JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"

Context = grpc.aio.ServicerContext[Any, Any]


class Reply:
    """One reply. Before its first byte a failure is an HTTP status; after it, an error event."""

    def __init__(self, context: Context) -> None:
        self.headers: tuple[tuple[str, str], ...] = ()  # go with the first byte
        self.param_of: errors.ParamOf = errors.param_of
        self.ending: Callable[[Failure], bytes] = self._event  # what tells a failure after the first byte
        self._context = context
        self._begun = False

    async def write(self, data: bytes, content_type: str) -> None:
        """Write a piece. The content type counts in the first one only."""
        if not data:
            return
        if self._begun:
            await self._context.write(HttpBody(data=data))
            return
        self._begun = True
        if self.headers:
            await self._context.send_initial_metadata(self.headers)
        await self._context.write(HttpBody(content_type=content_type, data=data))

    @contextlib.asynccontextmanager
    async def failing_in_kind(self) -> AsyncIterator[None]:
        """Tell a failure in OpenAI's words: a stream that merely ended would pass for a whole answer."""
        try:
            yield
        except Failure as failure:
            await self._fail(failure)
        except grpc.aio.InternalError:  # a write that nobody takes: there is nobody to tell
            raise
        except Exception as error:
            LOG.error("openai.crashed", error=type(error).__name__, exc_info=error)
            await self._fail(Failure(reasons.ERROR_REASON_INTERNAL, "The mesh failed to handle this request."))

    async def _fail(self, failure: Failure) -> None:
        if self._begun:
            await self._context.write(HttpBody(data=self.ending(failure)))
            return
        answer = errors.render(failure, self.param_of)
        metadata = (("x-http-status", str(answer.http_status)), *answer.headers)
        self.headers = metadata
        await self.write(answer.body, JSON)

    def _event(self, failure: Failure) -> bytes:
        return errors.event(failure, self.param_of)
