"""What happens around every call that a process serves: metrics, one log line, and the one place that maps failures."""

import asyncio
import contextlib
import inspect
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis import status
from services.chassis.failure import Failure
from services.chassis.rpc_metrics import CODE_NAMES, Method, RpcMetrics

LOG = structlog.get_logger()

# Calls that are made all the time by machines are worth a line only when somebody looks for them.
_QUIET = ("/grpc.health.v1.", "/grpc.reflection.")

Admit = Callable[[str, "grpc.aio.ServicerContext[Any, Any]"], None]

# How long the end of a call may take to be handed to a peer that has not read for long.
_FAREWELL_SECONDS = 1.0


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler: counts it, times it, logs it, and turns a Failure into a status."""

    def __init__(self, metrics: RpcMetrics, *, endless: Collection[str] = (), admit: Admit | None = None) -> None:
        """`endless` names methods (`/package.Service/Method`) that end only when their caller wants; `admit` raises
        a Failure where a caller may not call."""
        self._metrics = metrics
        self._admit = admit
        self._endless = endless
        self._methods: dict[str, Method] = {}  # those that have a handler, so that they are few
        # By method, the handler that was seen last, and what is around it. Most have the same one at every call.
        self._wrapped: dict[str, tuple[Any, Any]] = {}
        self._working = 0
        self._rested = asyncio.Event()
        self._rested.set()

    async def rest(self) -> None:
        """Return once no call is under way, other than the endless ones."""
        await self._rested.wait()

    def _count(self, method: str, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """Under way until its last words have left: a handler that returned may have them still on their way."""
        if method.startswith(_QUIET) or method in self._endless:
            return
        self._working += 1
        self._rested.clear()
        # types-grpcio has a class where any callable will do.
        context.add_done_callback(lambda _: self._ended())  # type: ignore[arg-type]

    def _ended(self) -> None:
        self._working -= 1
        if not self._working:
            self._rested.set()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:  # unknown method: gRPC answers UNIMPLEMENTED
            return handler
        path = handler_call_details.method
        kept = self._wrapped.get(path)
        if kept is not None and kept[0] is handler:
            return kept[1]
        wrapped = self._around(path, handler)
        self._wrapped[path] = handler, wrapped
        return wrapped

    def _around(self, path: str, handler: Any) -> Any:
        method = self._methods.get(path)
        if method is None:
            method = self._methods[path] = Method(path, handler)
        coders = {
            # Of a stream the first message that cannot be read ends the call anyway, and peers of the mesh send none.
            "request_deserializer": handler.request_deserializer if handler.request_streaming else _reader(handler),
            "response_serializer": handler.response_serializer,
        }
        if handler.response_streaming:
            factory = (
                grpc.stream_stream_rpc_method_handler
                if handler.request_streaming
                else grpc.unary_stream_rpc_method_handler
            )
            return factory(self._streaming(method, handler.stream_stream or handler.unary_stream), **coders)
        factory = (
            grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
        )
        return factory(self._single(method, handler.stream_unary or handler.unary_unary), **coders)

    def _single(self, method: Method, handler: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            self._count(method.path, context)
            with _Observed(self._metrics, method, context) as observed:
                try:
                    if self._admit is not None:
                        self._admit(method.path, context)
                    return await handler(_read(request), context)
                except Failure as failure:
                    observed.failure = failure
                except grpc.aio.AbortError:  # the handler has already said how the call ends
                    raise
                except Exception as error:  # noqa: BLE001 (the one place where a crash becomes a status)
                    observed.failure = _unexpected(method.path, error)
            return await context.abort_with_status(_beside(context, status.to_grpc(observed.failure)))

        return call

    def _streaming(self, method: Method, handler: Callable[..., Any]) -> Callable[..., Awaitable[None]]:
        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            self._count(method.path, context)
            with _Observed(self._metrics, method, context) as observed:
                try:
                    if self._admit is not None:
                        self._admit(method.path, context)
                    responses = handler(_read(request), context)
                    if inspect.isasyncgen(responses):
                        async with contextlib.aclosing(responses):
                            async for response in responses:
                                await context.write(response)
                    else:  # the handler writes by itself
                        await responses
                    return
                except Failure as failure:
                    observed.failure = failure
                except grpc.aio.InternalError as error:  # nobody takes it: the caller's cancellation is on its way
                    raise asyncio.CancelledError from error
                except asyncio.CancelledError as cancelled:
                    observed.failure = _own_reason(cancelled)
                    if observed.failure is None:  # the caller went away, or the server stops
                        raise
                    # gRPC would leave the call open and its caller waiting. What is stuck in front stays in front.
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_FAREWELL_SECONDS):
                            await context.abort_with_status(status.to_grpc(observed.failure))
                    return
                except grpc.aio.AbortError:  # the handler has already said how the call ends
                    raise
                except Exception as error:  # noqa: BLE001 (the one place where a crash becomes a status)
                    observed.failure = _unexpected(method.path, error)
            await context.abort_with_status(_beside(context, status.to_grpc(observed.failure)))

        return call


class _Observed:
    """Counts, times and logs one call."""

    def __init__(self, metrics: RpcMetrics, method: Method, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self.failure: Failure | None = None
        self._metrics = metrics
        self._method = method
        self._context = context

    def __enter__(self) -> "_Observed":
        self._begun = time.perf_counter()
        self._metrics.started.of(*self._method.labels).inc()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        seconds = time.perf_counter() - self._begun
        if self.failure is not None:
            code = CODE_NAMES[status.code_of(self.failure)]
        elif kind is None or issubclass(kind, grpc.aio.AbortError):
            own: grpc.StatusCode | None = self._context.code()  # None, unless the handler has set one
            code = CODE_NAMES[(own or grpc.StatusCode.OK).value[0]]
        else:
            code = "Cancelled"  # every other exception has become a Failure by now
        self._metrics.handled.of(*self._method.labels, code).inc()
        self._metrics.seconds.of(*self._method.labels).observe(seconds)
        log = LOG.debug if self._method.path.startswith(_QUIET) else LOG.info
        fields = {"reason": self.failure.reason_name} if self.failure is not None else {}
        log("rpc.finished", method=self._method.path, code=code, ms=round(seconds * 1e3, 2), **fields)


def _beside(context: grpc.aio.ServicerContext[Any, Any], failed: Any) -> Any:
    """The status with the trailing metadata that the handler has set: aborting would replace it."""
    return failed._replace(trailing_metadata=(*(context.trailing_metadata() or ()), *failed.trailing_metadata))


class _Unreadable:
    """Stands in for a request that could not be read: gRPC itself would answer UNKNOWN, uncounted, with a traceback."""


def _reader(handler: Any) -> Callable[[bytes], Any] | None:
    deserialize = handler.request_deserializer

    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            return _Unreadable()

    return read if deserialize is not None else None


def _read(request: Any) -> Any:
    if isinstance(request, _Unreadable):
        raise Failure(reasons.ERROR_REASON_SPEC_INVALID, "The request is not a message of the type that is expected.")
    return request


def _own_reason(cancelled: asyncio.CancelledError) -> Failure | None:
    """Why a handler was cancelled from inside this process: `task.cancel(failure)`."""
    why = cancelled.args[0] if cancelled.args else None
    return why if isinstance(why, Failure) else None


def _unexpected(method: str, error: Exception) -> Failure:
    """A fault of ours: logged with its traceback, told to the caller without detail."""
    LOG.error("rpc.crashed", method=method, error=type(error).__name__, exc_info=error)
    return Failure(reasons.ERROR_REASON_INTERNAL, "The mesh failed to handle this call. The failure has been logged.")
