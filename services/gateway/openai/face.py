"""The OpenAI face: OpenAIService over the relay. Every call ends with gRPC OK; the status travels in metadata."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from google.api.httpbody_pb2 import HttpBody
from hybridinference.gateway.v1 import openai_service_pb2 as openai
from hybridinference.gateway.v1 import openai_service_pb2_grpc as openai_grpc

from services.gateway.arrival import Arrival
from services.gateway.explainer import Explainer
from services.gateway.identity import caller
from services.gateway.models import Models
from services.gateway.openai import models
from services.gateway.openai.chat import answer as chat
from services.gateway.openai.completions import answer as completions
from services.gateway.openai.embeddings import answer as embeddings
from services.gateway.openai.explain import answer as explain
from services.gateway.openai.reply import JSON, Context, Reply
from services.gateway.openai.responses import answer as responses
from services.gateway.relay import Relay
from services.gateway.tenant import Tenants

Answer = Callable[[bytes, Arrival, Relay, Reply], Awaitable[None]]
NAME = openai.DESCRIPTOR.services_by_name["OpenAIService"].full_name


class OpenAIServicer(openai_grpc.OpenAIServiceServicer):
    """OpenAI's wire format: bytes in, bytes out."""

    def __init__(
        self,
        relay: Relay,
        explainer: Explainer,
        models: Models,
        tenants: Tenants,
        *,
        longest_seconds: float,
        keep_alive_seconds: float,
        allow_pinning: bool = False,
        trace_share: float = 0.0,
    ) -> None:
        self._allow_pinning = allow_pinning
        self._trace_share = trace_share
        self._relay = relay
        self._explainer = explainer
        self._models = models
        self._tenants = tenants
        self._longest_seconds = longest_seconds
        self._keep_alive_seconds = keep_alive_seconds

    def reconfigure(self, *, longest_seconds: float, keep_alive_seconds: float, allow_pinning: bool) -> None:
        """Calls that arrive from now on have so much time, comments so often, and may name their worker or not."""
        self._longest_seconds = longest_seconds
        self._keep_alive_seconds = keep_alive_seconds
        self._allow_pinning = allow_pinning

    async def CreateChatCompletion(self, request: HttpBody, context: Context) -> None:  # type: ignore[override]
        await self._answer(chat.answer, request, context)

    async def CreateCompletion(self, request: HttpBody, context: Context) -> None:  # type: ignore[override]
        await self._answer(completions.answer, request, context)

    async def CreateResponse(self, request: HttpBody, context: Context) -> None:  # type: ignore[override]
        await self._answer(responses.answer, request, context)

    async def CreateEmbedding(self, request: HttpBody, context: Context) -> None:  # type: ignore[override]
        await self._answer(embeddings.answer, request, context)

    async def CreateExplanation(self, request: HttpBody, context: Context) -> None:  # type: ignore[override]
        async with self._replying(context) as (arrival, reply):
            await explain.answer(request.data, arrival, self._explainer, reply)

    async def ListModels(self, request: openai.OpenAIServiceListModelsRequest, context: Context) -> None:  # type: ignore[override]
        async with self._replying(context) as (arrival, reply):
            await reply.write(models.listed(self._models.all(arrival.grant)), JSON)

    async def GetModel(self, request: openai.OpenAIServiceGetModelRequest, context: Context) -> None:  # type: ignore[override]
        async with self._replying(context) as (arrival, reply):
            await reply.write(models.shown(self._models.require(request.id, arrival.grant)), JSON)

    async def _answer(self, answer: Answer, request: HttpBody, context: Context) -> None:
        async with self._replying(context) as (arrival, reply):
            await answer(request.data, arrival, self._relay, reply)

    @contextlib.asynccontextmanager
    async def _replying(self, context: Context) -> AsyncIterator[tuple[Arrival, Reply]]:
        now = asyncio.get_running_loop().time()
        arrival = Arrival(
            context,
            grant=caller.current(),
            now=now,
            longest_seconds=self._longest_seconds,
            models=self._models,
            tenants=self._tenants,
            allow_pinning=self._allow_pinning,
            trace_share=self._trace_share,
        )
        reply = Reply(context, traceparent=arrival.traceparent, keep_alive_seconds=self._keep_alive_seconds)
        async with reply.failing_in_kind():
            yield arrival, reply
