"""Streams that need no key: so many at once, or whoever reaches the edge could have them take all memory."""

import contextlib
import inspect
from typing import Any

import grpc
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure

MOST = 1000
_RETRY_SECONDS = 1.0


class PublicStreams:
    """Those that are open, of all callers together.

    Attributes:
        left: how many more may be opened now.
    """

    def __init__(self, most: int = MOST) -> None:
        self.left = most

    def bounded(self, handler: Any) -> Any:
        """The handler, refusing with FLEET_SATURATED where too many are open; one that does not stream as it is."""
        if not handler.response_streaming:
            return handler
        inner = handler.stream_stream or handler.unary_stream
        factory = (
            grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
        )

        async def call(request: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
            if self.left <= 0:
                message = "Too many streams without a key are open; close some, or ask by Check."
                raise Failure(reasons.ERROR_REASON_FLEET_SATURATED, message, retry_after=_RETRY_SECONDS)
            self.left -= 1
            try:
                responses = inner(request, context)
                if not inspect.isasyncgen(responses):
                    await responses
                    return
                async with contextlib.aclosing(responses):
                    async for response in responses:
                        await context.write(response)
            finally:
                self.left += 1

        return factory(
            call,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
