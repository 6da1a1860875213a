"""The typed face: InferenceService over the relay."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
from hybridinference.gateway.v1 import inference_service_pb2 as gateway
from hybridinference.gateway.v1 import inference_service_pb2_grpc as gateway_grpc

from services.gateway.arrival import Arrival
from services.gateway.coalesce import coalesce
from services.gateway.explainer import Explainer
from services.gateway.fold import Fold
from services.gateway.generation import Generation
from services.gateway.identity import caller
from services.gateway.models import Models
from services.gateway.pricing.told import cost_headers
from services.gateway.quota.refusal import Limited
from services.gateway.quota.told import limit_headers
from services.gateway.relay import Relay
from services.gateway.tenant import Tenants
from services.gateway.validate import invalid

Context = grpc.aio.ServicerContext[Any, Any]
NAME = gateway.DESCRIPTOR.services_by_name["InferenceService"].full_name

LARGEST_PAGE = 1000

_DEFAULT_PAGE = 100
# A float of four bytes is up to 16 characters of JSON, and the edge takes 32 MiB (infrastructure/envoy).
_LARGEST_TRANSCODED_BYTES = 8 << 20


class InferenceServicer(gateway_grpc.InferenceServiceServicer):
    """Generate is the fold of StreamGenerate."""

    def __init__(
        self,
        relay: Relay,
        explainer: Explainer,
        models: Models,
        tenants: Tenants,
        *,
        longest_seconds: float,
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

    def reconfigure(self, *, longest_seconds: float, allow_pinning: bool) -> None:
        """Calls that arrive from now on have so much time, and may choose their worker or not."""
        self._longest_seconds = longest_seconds
        self._allow_pinning = allow_pinning

    async def Generate(self, request: gateway.GenerateRequest, context: Context) -> gateway.GenerateResponse:
        running = await self._begin(request, context, streamed=False)
        fold = Fold()
        async with contextlib.aclosing(running.events()) as batches:
            async for events in batches:
                fold.take(events)
        response = fold.whole()
        response.generation_id = running.id
        response.route.CopyFrom(running.route())
        context.set_trailing_metadata((*cost_headers(response.route), *limit_headers(running.limits)))
        return response

    async def StreamGenerate(
        self, request: gateway.StreamGenerateRequest, context: Context
    ) -> AsyncIterator[gateway.StreamGenerateResponse]:
        running = await self._begin(request, context, streamed=True)
        first = True
        async with contextlib.aclosing(running.events()) as batches:
            async for events in batches:
                for event in coalesce(events):
                    response = gateway.StreamGenerateResponse(event=event)
                    last = event.HasField("finished")
                    if first or last:
                        response.route.CopyFrom(running.route())
                    if first:
                        first, response.generation_id = False, running.id
                    if last:
                        context.set_trailing_metadata((*cost_headers(response.route), *limit_headers(running.limits)))
                    yield response

    async def Embed(self, request: gateway.EmbedRequest, context: Context) -> gateway.EmbedResponse:
        arrival = self._arrival(context)
        routing = arrival.checked(request.routing)
        call = arrival.call(request.spec, api="inference", streamed=False, routing=routing)
        with _told(context):
            running = await self._relay.embed(call)
        async with running.vectors() as answer:
            if arrival.transcoded and answer.ByteSize() > _LARGEST_TRANSCODED_BYTES:
                # No reason that clients try again on: the vectors would be made each time.
                raise invalid("inputs", "are too many for JSON; send fewer at once, or use gRPC or /v1/embeddings")
            route = running.route()
            context.set_trailing_metadata((*cost_headers(route), *limit_headers(running.limits)))
            return gateway.EmbedResponse(
                generation_id=running.id,
                embeddings=answer.embeddings,
                usage=answer.usage,
                provider_model=answer.provider_model,
                dropped_fields=answer.dropped_fields,
                route=route,
            )

    async def ListModels(self, request: gateway.ListModelsRequest, context: Context) -> gateway.ListModelsResponse:
        size = request.page_size or _DEFAULT_PAGE
        if size > LARGEST_PAGE:
            raise invalid("page_size", f"must be at most {LARGEST_PAGE}")
        # Names are unique and sorted, so the last name of a page is where the next one begins.
        rest = [model for model in self._models.all(caller.current()) if model.name > request.page_token]
        more = rest[size - 1].name if len(rest) > size else ""
        return gateway.ListModelsResponse(models=rest[:size], next_page_token=more)

    async def ExplainRoute(
        self, request: gateway.ExplainRouteRequest, context: Context
    ) -> gateway.ExplainRouteResponse:
        arrival = self._arrival(context)
        routing = arrival.checked(request.routing)
        call = arrival.call(request.spec, api="inference", streamed=False, routing=routing)
        return await self._explainer.explain(call)

    async def _begin(
        self, request: gateway.GenerateRequest | gateway.StreamGenerateRequest, context: Context, *, streamed: bool
    ) -> Generation:
        arrival = self._arrival(context)
        routing = arrival.checked(request.routing)
        call = arrival.call(request.spec, api="inference", streamed=streamed, routing=routing)
        with _told(context):
            return await self._relay.begin(call)

    def _arrival(self, context: Context) -> Arrival:
        now = asyncio.get_running_loop().time()
        return Arrival(
            context,
            grant=caller.current(),
            now=now,
            longest_seconds=self._longest_seconds,
            models=self._models,
            tenants=self._tenants,
            allow_pinning=self._allow_pinning,
            trace_share=self._trace_share,
        )


@contextlib.contextmanager
def _told(context: Context) -> Iterator[None]:
    """Who is refused by a limit of a minute is told where it stands."""
    try:
        yield
    except Limited as limited:
        context.set_trailing_metadata(limit_headers(limited))
        raise
