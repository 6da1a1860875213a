"""Requests at a steady rate, whatever becomes of those before."""

import asyncio
import dataclasses
import json
import time
from collections.abc import Sequence

import grpc
from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.gateway.v1 import inference_service_pb2_grpc as inference_grpc
from hybridinference.inference.v1 import generation_pb2 as generation

from tests.mesh.driver import Mesh

_TIMEOUT_SECONDS = 20.0


@dataclasses.dataclass(slots=True)
class Call:
    """A request: when it began, how long it took, and what its caller was told; "" is a whole answer."""

    begun: float
    seconds: float = 0.0
    error: str = "running"

    def good(self, *, seconds: float) -> bool:
        """Whether it was answered in time."""
        return not self.error and self.seconds <= seconds


class OpenLoad:
    """Requests for one model, past the edge, that begin so many times a second. A context manager."""

    def __init__(self, mesh: Mesh, model: str, *, rate: float, tokens: int, last_seconds: float = 30.0) -> None:
        """`last_seconds`: how long what runs may go on once no more begins."""
        self.calls: list[Call] = []
        self._pause = 1.0 / rate
        self._last_seconds = last_seconds
        self._request = inference.StreamGenerateRequest(
            spec=generation.GenerationSpec(
                model=model,
                messages=[{"role": "ROLE_USER", "parts": [{"text": "word"}]}],
                provider_options_json=json.dumps({"echo": {"tokens": tokens}}),
            )
        )
        options = [("grpc.default_authority", "localhost")]
        self._channel = grpc.aio.insecure_channel(mesh.gateway, options=options)
        self._stub = inference_grpc.InferenceServiceStub(self._channel)
        self._tasks = asyncio.TaskGroup()
        self._beginning: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "OpenLoad":
        await self._tasks.__aenter__()
        self._beginning = self._tasks.create_task(self._begin())
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._beginning is not None:
            self._beginning.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=self._last_seconds)
        for task in self._running:
            task.cancel()
        await self._tasks.__aexit__(*error)  # type: ignore[arg-type]
        await self._channel.close()

    def between(self, begin: float, end: float) -> Sequence[Call]:
        """The requests that began in that time, by the monotonic clock."""
        return [call for call in self.calls if begin <= call.begun < end]

    async def _begin(self) -> None:
        at = time.monotonic()
        while True:
            task = self._tasks.create_task(self._call())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            at += self._pause
            await asyncio.sleep(max(0.0, at - time.monotonic()))

    async def _call(self) -> None:
        call = Call(time.monotonic())
        self.calls.append(call)
        stream = self._stub.StreamGenerate(self._request, timeout=_TIMEOUT_SECONDS)
        try:
            whole = False
            async for response in stream:
                whole = response.event.WhichOneof("event") == "finished"
            call.error = "" if whole else "cut"
        except grpc.aio.AioRpcError as error:
            call.error = error.code().name
        finally:
            stream.cancel()
            call.seconds = time.monotonic() - call.begun


def share(calls: Sequence[Call], *, seconds: float) -> float:
    """The share of requests that were answered in time."""
    return sum(call.good(seconds=seconds) for call in calls) / len(calls)
