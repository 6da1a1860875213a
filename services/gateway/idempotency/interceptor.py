"""Where calls are told apart: those that name their request, and all others, which pass untouched."""

import asyncio
import contextlib
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import grpc
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from prometheus_client import CollectorRegistry

from services.chassis.failure import Failure
from services.config.mesh import MeshConfig
from services.gateway.channels import Channels
from services.gateway.idempotency.detached import DetachedContext
from services.gateway.idempotency.forwarding import AwayError, Forwarding
from services.gateway.idempotency.methods import METHODS
from services.gateway.idempotency.naming import HEADER, fingerprint, identity, name_of
from services.gateway.idempotency.runs import Runs, open_runs
from services.gateway.idempotency.transcript import Transcript
from services.gateway.identity import caller
from services.gateway.identity.grant import Grant

REPLAYED = ("idempotent-replayed", "true")

Context = grpc.aio.ServicerContext[Any, Any]
Serialize = Callable[[Any], bytes]


class IdempotencyInterceptor(grpc.aio.ServerInterceptor):
    """Stands behind whoever finds out who calls."""

    def __init__(self, runs: Runs, forwarding: Forwarding, *, slow_reader_seconds: float) -> None:
        """`slow_reader_seconds`: how long a caller may not read."""
        self._runs = runs
        self._forwarding = forwarding
        self._slow_reader_seconds = slow_reader_seconds

    def reconfigure(self, config: MeshConfig) -> None:
        """These are the gateways from now on, and so long may a caller not read."""
        self._forwarding.reconfigure(config.gateways())
        self._slow_reader_seconds = config.gateway.slow_reader_seconds

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        named = any(key == HEADER for key, _ in handler_call_details.invocation_metadata)
        if handler is None or not named or handler_call_details.method not in METHODS:
            return handler
        method = handler_call_details.method
        serialize = handler.response_serializer
        coders = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": lambda message: message if isinstance(message, bytes) else serialize(message),
        }
        if handler.response_streaming:
            streamed = self._streamed(method, handler.unary_stream, serialize)
            return grpc.unary_stream_rpc_method_handler(streamed, **coders)
        return grpc.unary_unary_rpc_method_handler(self._whole(method, handler.unary_unary, serialize), **coders)

    def _whole(self, method: str, handler: Any, serialize: Serialize) -> Callable[[Any, Context], Awaitable[Any]]:
        async def call(request: Any, context: Context) -> Any:
            named = _named(method, context)
            body = request.SerializeToString(deterministic=True)
            address = self._forwarding.elsewhere(named, _metadata(context))
            if address is not None:
                try:
                    return await self._forwarding.hand_on(address, method, body, context)
                except AwayError:
                    pass  # run here: another try is likely to come here, too

            async def work(transcript: Transcript) -> None:
                transcript.add(serialize(await handler(request, DetachedContext(context, transcript, serialize))))

            with self._runs.following(named, fingerprint(body), work) as (transcript, again):
                try:
                    return b"".join([message async for message in transcript.messages()])
                finally:  # who is refused is told where its limits stand, too
                    context.set_trailing_metadata((*transcript.trailers, *((REPLAYED,) if again else ())))

        return call

    def _streamed(self, method: str, handler: Any, serialize: Serialize) -> Callable[[Any, Context], Any]:
        async def call(request: Any, context: Context) -> None:
            named = _named(method, context)
            body = request.SerializeToString(deterministic=True)
            address = self._forwarding.elsewhere(named, _metadata(context))
            if address is not None:
                try:
                    write = functools.partial(self._write, context)
                    await self._forwarding.hand_on(address, method, body, context, write=write)
                    return
                except AwayError:
                    pass

            async def work(transcript: Transcript) -> None:
                detached = DetachedContext(context, transcript, serialize)
                await _passed(handler(request, detached), detached)

            with self._runs.following(named, fingerprint(body), work) as (transcript, again):
                await self._told(transcript, context, again=again)

        return call

    async def _told(self, transcript: Transcript, context: Context, *, again: bool) -> None:
        """Tell a caller what a run says."""
        headers = await transcript.begun()
        # By themselves, even where there are none: with a first message that is stuck they would be stuck, too, and
        # grpc.aio would send them again with the status, and so send none. Not before a status alone: a call whose
        # headers have come is not tried again.
        replayed = (REPLAYED,) if again else ()
        if begun := headers is not None or transcript.said:
            await context.send_initial_metadata((*(headers or ()), *replayed))
        try:
            async for message in transcript.messages():
                await self._write(context, message)
        finally:
            if trailers := (*transcript.trailers, *(() if begun else replayed)):
                context.set_trailing_metadata(trailers)

    async def _write(self, context: Context, message: bytes) -> None:
        try:
            async with asyncio.timeout(self._slow_reader_seconds):
                await context.write(message)
        except TimeoutError as error:
            raise Failure(reasons.ERROR_REASON_SLOW_CONSUMER, "The answer was not read for too long.") from error


@contextlib.asynccontextmanager
async def open_idempotency(
    channels: Channels, own: str, config: MeshConfig, registry: CollectorRegistry
) -> AsyncIterator[IdempotencyInterceptor]:
    """Of the gateway that is called `own`. Leaving the context ends what runs."""
    async with open_runs(registry) as runs:
        forwarding = Forwarding(channels, own, config.gateways())
        yield IdempotencyInterceptor(runs, forwarding, slow_reader_seconds=config.gateway.slow_reader_seconds)


async def _passed(responses: Any, context: Any) -> None:
    """Run a streaming handler, whether it yields its answer or writes by itself."""
    if not inspect.isasyncgen(responses):
        await responses
        return
    try:
        async for response in responses:
            await context.write(response)
    finally:
        await responses.aclose()


def _metadata(context: Context) -> dict[str, str | bytes]:
    return {str(key): value for key, value in context.invocation_metadata() or ()}


def _named(method: str, context: Context) -> bytes:
    """What stands for the request."""
    metadata = _metadata(context)
    name = name_of(metadata.get(HEADER))
    return identity(caller=_who(caller.current(), metadata), method=method, name=name)


def _who(grant: Grant, metadata: Mapping[str, str | bytes]) -> str:
    """A caller by its key, and by what it may have: of what was taken from it since nothing is given again."""
    if not grant.key_id:
        return str(metadata.get("authorization", ""))
    return f"{grant.key_id} {sorted(grant.models)} {sorted(grant.providers)} {sorted(grant.scopes)}"
