"""Asks a worker what a feature asks, over the worker's own gRPC."""

import asyncio
from collections.abc import Callable, Sequence

import grpc
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.worker.v1 import worker_service_pb2 as worker
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from services.chassis import status
from services.chassis.deadline import to_duration
from services.cli.verify.feature import Feature
from services.cli.verify.seen import Seen, Spec

_CALL_SECONDS = 120.0
# How soon a provider is to be free when its caller has left.
_FREE_SECONDS = 1.0
_TOO_SOON = (reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, reasons.ERROR_REASON_PROVIDER_OVERLOADED)
# Limits of a minute are waited for, limits of a day are not.
_LONGEST_WAIT_SECONDS = 70.0
_MOST_WAITS = 3


class Client:
    """Calls of one worker. With `most_tokens` no answer is longer, whatever a feature allows."""

    def __init__(self, channel: grpc.aio.Channel, *, most_tokens: int | None = None) -> None:
        self._stub = worker_grpc.WorkerServiceStub(channel)
        self._most_tokens = most_tokens

    async def models(self) -> Sequence[worker_status.WorkerModel]:
        """What it serves, and claims of it.

        Raises:
            TimeoutError: it says nothing.
        """
        async with asyncio.timeout(_CALL_SECONDS):
            return (await self._status(lambda found: bool(found.models))).models

    async def seen(self, feature: Feature, model: str) -> list[Seen]:
        """Make the calls of a feature, up to the first that fails."""
        seen: list[Seen] = []
        for build in feature.turns:
            spec = build(model, seen)
            if self._most_tokens is not None and isinstance(spec, generation.GenerationSpec):
                spec.max_output_tokens = min(spec.max_output_tokens, self._most_tokens)
            seen.append(await self._patiently(spec, leaves=feature.leaves))
            if seen[-1].failure is not None:
                break
        return seen

    async def _patiently(self, spec: Spec, *, leaves: bool) -> Seen:
        """One call, made again when it came too soon: small accounts may ask a few times a minute."""
        for _ in range(_MOST_WAITS):
            seen = await self.call(spec, leaves=leaves)
            failure = seen.failure
            wait = failure.retry_after if failure and failure.reason in _TOO_SOON else None
            if wait is None or wait > _LONGEST_WAIT_SECONDS:
                return seen
            await asyncio.sleep(wait)
        return await self.call(spec, leaves=leaves)

    async def call(self, spec: Spec, *, leaves: bool = False) -> Seen:
        """One call, to its end or until the caller leaves after the first piece."""
        if isinstance(spec, embedding.EmbeddingSpec):
            return await self._embedded(spec)
        call = self._stub.Execute(worker.ExecuteRequest(spec=spec), timeout=_CALL_SECONDS, wait_for_ready=True)
        events: list[generation.GenerationEvent] = []
        try:
            async for response in call:
                events.append(response.event)
                if leaves and response.event.HasField("delta"):
                    break
        except grpc.aio.AioRpcError as error:
            return Seen(spec, events, failure=status.from_rpc_error(error))
        finally:
            call.cancel()  # does nothing to a call that has ended
        return Seen(spec, events, freed=await self.freed() if leaves else None)

    async def _embedded(self, spec: embedding.EmbeddingSpec) -> Seen:
        request = worker.EmbedRequest(spec=spec, time_left=to_duration(_CALL_SECONDS))
        try:
            response = await self._stub.Embed(request, timeout=_CALL_SECONDS, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            return Seen(spec, failure=status.from_rpc_error(error))
        vectors = [list(one.values) for one in response.embeddings]
        return Seen(spec, vectors=vectors, counted=response.usage)

    async def freed(self) -> bool:
        """Whether nothing runs any more, within the time that takes at most."""
        try:
            async with asyncio.timeout(_FREE_SECONDS):
                await self._status(lambda found: not found.running and not found.waiting)
        except TimeoutError:
            return False
        return True

    async def _status(self, fits: Callable[[worker_status.WorkerStatus], bool]) -> worker_status.WorkerStatus:
        watch = self._stub.WatchStatus(worker.WatchStatusRequest(), wait_for_ready=True)
        try:
            async for response in watch:
                if fits(response.status):
                    return response.status
        finally:
            watch.cancel()
        raise TimeoutError  # it has ended
