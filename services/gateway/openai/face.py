"""The OpenAI face: OpenAIService over the relay. Every call ends with gRPC OK; the status travels in metadata."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import structlog
from google.api.httpbody_pb2 import HttpBody
from hybridinference.gateway.v1 import openai_service_pb2 as openai
from hybridinference.gateway.v1 import openai_service_pb2_grpc as openai_grpc
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.gateway.arrival import Arrival
from services.gateway.fold import Fold
from services.gateway.generation import Generation
from services.gateway.models import Models
from services.gateway.openai import dropped, errors, response
from services.gateway.openai.embeddings import parse_embedding, pieces
from services.gateway.openai.request import ChatRequest, parse_chat
from services.gateway.relay import Relay
from services.gateway.tenant import Tenants

LOG = structlog.get_logger()

Context = grpc.aio.ServicerContext[Any, Any]
NAME = openai.DESCRIPTOR.services_by_name["OpenAIService"].full_name


class OpenAIServicer(openai_grpc.OpenAIServiceServicer):
    """OpenAI's wire format: bytes in, bytes out."""

    def __init__(self, relay: Relay, models: Models, tenants: Tenants, *, longest_seconds: float) -> None:
        self._relay = relay
        self._models = models
        self._tenants = tenants
        self._longest_seconds = longest_seconds

    async def CreateChatCompletion(self, request: HttpBody, context: Context) -> None:  # type: ignore[override]
        reply = _Reply(context)
        async with reply.failing_in_kind():
            arrival = self._arrival(context)
            chat = parse_chat(request.data)
            running = self._relay.begin(arrival.call(chat.spec, api="openai", streamed=chat.stream))
            if chat.stream:
                await _stream(chat, running, reply)
            else:
                await _whole(chat, running, reply)

    async def CreateEmbedding(self, request: HttpBody, context: Context) -> None:  # type: ignore[override]
        reply = _Reply(context)
        async with reply.failing_in_kind():
            arrival = self._arrival(context)
            asked = parse_embedding(request.data)
            running = self._relay.embed(arrival.call(asked.spec, api="openai", streamed=False))
            async with running.vectors() as answer:
                reply.headers = dropped.header(answer.dropped_fields, asked.spec)
                for piece in pieces(answer, model=asked.spec.model, in_base64=asked.in_base64):
                    await reply.write(piece, response.JSON)

    async def ListModels(
        self, request: openai.OpenAIServiceListModelsRequest, context: Context
    ) -> AsyncIterator[HttpBody]:
        yield HttpBody(content_type=response.JSON, data=response.models(self._models.all()))

    async def GetModel(self, request: openai.OpenAIServiceGetModelRequest, context: Context) -> None:  # type: ignore[override]
        reply = _Reply(context)
        async with reply.failing_in_kind():
            await reply.write(response.model(self._models.require(request.id)), response.JSON)

    def _arrival(self, context: Context) -> Arrival:
        now = asyncio.get_running_loop().time()
        return Arrival(context, now=now, longest_seconds=self._longest_seconds, tenants=self._tenants)


async def _stream(chat: ChatRequest, running: Generation, reply: "_Reply") -> None:
    chunks = response.ChatChunks(
        completion_id=_completion_id(running),
        created=int(time.time()),
        model=chat.spec.model,
        include_usage=chat.include_usage,
    )
    async with contextlib.aclosing(running.events()) as batches:
        async for events in batches:
            if running.dropped and not reply.headers:
                reply.headers = dropped.header(running.dropped, chat.spec)
            await reply.write(chunks.write(events), response.EVENTS)


async def _whole(chat: ChatRequest, running: Generation, reply: "_Reply") -> None:
    fold = Fold()
    async with contextlib.aclosing(running.events()) as batches:
        async for events in batches:
            fold.take(events)
    reply.headers = dropped.header(running.dropped, chat.spec)
    body = response.completion(
        fold.whole(), completion_id=_completion_id(running), created=int(time.time()), model=chat.spec.model
    )
    await reply.write(body, response.JSON)


def _completion_id(running: Generation) -> str:
    return f"chatcmpl-{running.id}"


class _Reply:
    """One reply. Before its first byte a failure is an HTTP status; after it, an error event."""

    def __init__(self, context: Context) -> None:
        self.headers: tuple[tuple[str, str], ...] = ()  # go with the first byte
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
            await self._context.write(HttpBody(data=errors.event(failure)))
            return
        answer = errors.render(failure)
        metadata = (("x-http-status", str(answer.http_status)), *answer.headers)
        self.headers = metadata
        await self.write(answer.body, response.JSON)
