"""A gateway of canned behaviours, served as the real one is: same chassis, same codec, no mesh behind it."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.api import httpbody_pb2
from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.gateway.v1 import inference_service_pb2_grpc as inference_grpc
from hybridinference.gateway.v1 import openai_service_pb2 as openai
from hybridinference.gateway.v1 import openai_service_pb2_grpc as openai_grpc
from hybridinference.gateway.v1 import overview_pb2, overview_service_pb2_grpc
from hybridinference.gateway.v1 import overview_service_pb2 as overview
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2

from services.chassis.failure import Failure
from services.gateway.openai import errors, models
from services.gateway.openai.chat import response
from services.gateway.openai.reply import COMMENT, EVENTS, JSON

Body = httpbody_pb2.HttpBody
Context = grpc.aio.ServicerContext[Any, Any]

NAMES = (
    openai.DESCRIPTOR.services_by_name["OpenAIService"].full_name,
    inference.DESCRIPTOR.services_by_name["InferenceService"].full_name,
    overview.DESCRIPTOR.services_by_name["OverviewService"].full_name,
)
FLOOD = 64 << 10
WHOLE = inference.GenerateResponse(
    generation_id="0193",
    choices=[{"content": {"text": "Paris"}, "finish_reason": generation.FINISH_REASON_STOP}],
    usage={"input_tokens": 7, "output_tokens": 1},
)


class Script:
    """What a test and the stub tell each other. A stream sends its next piece only when the test allows it."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget what an earlier test has left."""
        self.allowed: asyncio.Queue[str] = asyncio.Queue()
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.ended: asyncio.Queue[str] = asyncio.Queue()
        self.seconds_left: float | None = None
        self.metadata: dict[str, str] = {}
        self.sent = 0

    def meet(self, context: Context) -> None:
        """Keep what the call came with."""
        self.seconds_left = context.time_remaining()
        self.metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        self.begun.put_nowait("begun")

    async def pieces(self) -> AsyncIterator[generation.GenerationEvent]:
        """Pieces of text as the test allows them; an empty one is the end. Tells how the call ended."""
        try:
            while text := await self.allowed.get():
                yield generation.GenerationEvent(delta=generation.Delta(text=text))
            reason = generation.FINISH_REASON_STOP
            yield generation.GenerationEvent(finished=generation.Finished(reasons=[reason], usage=WHOLE.usage))
        except asyncio.CancelledError:
            self.ended.put_nowait("cancelled")
            raise
        self.ended.put_nowait("ended")


class OpenAIStub(openai_grpc.OpenAIServiceServicer):
    """The model's name says what happens.

    `stream` and `interrupted` follow the script; `abort:CODE` and `fail:REASON` fail; `size` tells how large the body
    was; `large:BYTES` is one large message, `flood:COUNT` many.
    """

    def __init__(self, script: Script) -> None:
        self._script = script

    async def CreateChatCompletion(self, request: Body, context: Context) -> AsyncIterator[Body]:
        self._script.meet(context)
        kind, _, what = json.loads(request.data)["model"].partition(":")
        if kind == "abort":
            await context.abort(grpc.StatusCode[what], f'the "{what}" of the stub')
        elif kind == "fail":
            reply = errors.render(failure_of(what))
            status = ("x-http-status", str(reply.http_status))
            await context.send_initial_metadata((status, *reply.headers))
            yield Body(content_type=JSON, data=reply.body)
        elif kind in ("stream", "interrupted"):
            chunks = response.ChatChunks(completion_id="c", created=1, model="stream", include_usage=False)
            async for event in self._script.pieces():
                data = COMMENT if event.delta.text == COMMENT.decode() else chunks.write([event])
                yield Body(content_type=EVENTS, data=data)
                if kind == "interrupted":
                    yield Body(data=errors.event(failure_of("STREAM_INTERRUPTED")))
                    return
        elif kind == "size":
            yield Body(content_type=JSON, data=json.dumps({"size": len(request.data)}).encode())
        elif kind == "flood":
            for _ in range(int(what)):
                yield Body(content_type=EVENTS, data=b"x" * FLOOD)
                self._script.sent += FLOOD
        elif kind == "large":
            yield Body(content_type=JSON, data=b'"' + b"x" * int(what) + b'"')
        else:
            data = response.completion(WHOLE, completion_id="c", created=1, model=kind)
            yield Body(content_type=JSON, data=data)

    async def ListModels(self, request: openai.OpenAIServiceListModelsRequest, context: Context) -> AsyncIterator[Body]:
        self._script.meet(context)
        yield Body(content_type=JSON, data=models.listed([model_pb2.Model(name="a"), model_pb2.Model(name="b")]))

    async def GetModel(self, request: openai.OpenAIServiceGetModelRequest, context: Context) -> AsyncIterator[Body]:
        self._script.meet(context)
        yield Body(content_type=JSON, data=models.shown(model_pb2.Model(name=request.id)))


class InferenceStub(inference_grpc.InferenceServiceServicer):
    """As above, for the typed API."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def Generate(self, request: inference.GenerateRequest, context: Context) -> inference.GenerateResponse:
        self._script.meet(context)
        kind, _, what = request.spec.model.partition(":")
        if kind == "abort":
            await context.abort(grpc.StatusCode[what], f'the "{what}" of the stub')
        if kind == "fail":
            raise failure_of(what)
        if kind == "hang":
            await self._script.allowed.get()
        return WHOLE

    async def StreamGenerate(
        self, request: inference.StreamGenerateRequest, context: Context
    ) -> AsyncIterator[inference.StreamGenerateResponse]:
        self._script.meet(context)
        if request.spec.model.startswith("fail:"):
            raise failure_of(request.spec.model.removeprefix("fail:"))
        async for event in self._script.pieces():
            yield inference.StreamGenerateResponse(event=event)

    async def ListModels(self, request: inference.ListModelsRequest, context: Context) -> inference.ListModelsResponse:
        return inference.ListModelsResponse(models=[model_pb2.Model(name="a", context_tokens=4096)])


class OverviewStub(overview_service_pb2_grpc.OverviewServiceServicer):
    """Tells of one worker and of as many requests as it is asked for."""

    async def Overview(self, request: overview.OverviewRequest, context: Context) -> overview.OverviewResponse:
        recent = overview_pb2.RecentRequest(cost_nano_usd=2**40, worker="w")
        return overview.OverviewResponse(
            extent=overview_pb2.OVERVIEW_EXTENT_ALL,
            workers=[overview_pb2.WorkerOverview(worker="w", kv_usage=0.5)],
            requests=[recent] * request.max_requests,
        )


def failure_of(reason: str) -> Failure:
    """A failure as the mesh raises it."""
    retry_after = 6.2 if reason in ("RATE_LIMITED", "FLEET_SATURATED") else None
    value = reasons.ErrorReason.Value(f"ERROR_REASON_{reason}")
    return Failure(value, f"because of {reason}", retry_after=retry_after, field="sampling.seed")
