"""An embedding from ask to outcome: its vectors, from whichever worker serves it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable

import grpc
from google.protobuf.message import DecodeError
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import provider_try_pb2 as provider_try
from hybridinference.worker.v1 import worker_service_pb2 as worker
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from services.chassis import status
from services.chassis.deadline import to_seconds
from services.chassis.failure import Failure
from services.gateway.channels import Channels
from services.gateway.entry import Entry
from services.gateway.placement import Placements
from services.gateway.recorder import Recorder
from services.gateway.run import Run
from services.gateway.starting import time_for_worker
from services.gateway.undertaking import Undertaking, deadline_passed

# Trailing metadata of the worker's Embed, beside an answer or a failure alike.
_TRIES = "hybrid-tries-bin"
_DETAILS = "grpc-status-details-bin"


class Embedding(Undertaking):
    """One accepted request. Its `vectors` must be entered: it is recorded when they are left."""

    def __init__(
        self,
        entry: Entry,
        placements: Placements,
        channels: Channels,
        recorder: Recorder,
        left: Callable[[], None],
        *,
        show_worker: bool,
    ) -> None:
        super().__init__(entry, placements, recorder, left, show_worker=show_worker)
        self._channels = channels

    @contextlib.asynccontextmanager
    async def vectors(self) -> AsyncIterator[worker.EmbedResponse]:
        """The vectors, one for each input. Until the context ends, with their passing on, the request is under way.

        That of a strict key ends before, when its vectors are there: what becomes of them then is not recorded.

        Raises:
            Failure: why there are none; of a strict key also ACCOUNTING_UNAVAILABLE where that cannot be written.
        """
        if not self._strict:
            with self._recorded():
                yield await self._served()
            return
        try:
            with self._recorded():
                answer = await self._served()
        except Failure:
            await self._recorder.durable()
            raise
        await self._recorder.durable()
        yield answer

    async def _served(self) -> worker.EmbedResponse:
        placed = await self._place()
        while True:
            run = self._begin(placed)
            try:
                await self._wait(to_seconds(placed.delay))
                answer = await self._ask(run)
                self._commit(run)
                self._finish(run, answer.usage)
                if self._entry.heard is not None:
                    self._entry.heard.vectors = len(answer.embeddings), len(answer.embeddings[0].values)
                self._entry.provider_model = answer.provider_model
                self.dropped = tuple(answer.dropped_fields)
                return answer
            except Failure as failure:
                placed = await self._elsewhere(run, failure)

    async def _ask(self, run: Run) -> worker.EmbedResponse:
        """Ask the worker. Leaving early, for whatever reason, ends the work there."""
        async with self._channels.to(run.placed.address, "worker") as channel:
            call = worker_grpc.WorkerServiceStub(channel).Embed(self._request(run))
            run.started = True
            try:
                async with asyncio.timeout_at(self.call.deadline.at):
                    answer: worker.EmbedResponse = await call
                    run.tries = _tries(await call.trailing_metadata())
            except TimeoutError as error:
                raise deadline_passed() from error
            except grpc.aio.AioRpcError as error:
                run.tries = _tries(error.trailing_metadata())
                raise _failure(error, run.placed.address) from error
            finally:
                call.cancel()  # grpc.aio never cancels a call that is merely dropped
        asked = len(self.call.spec.inputs)
        if len(answer.embeddings) != asked or not all(vector.values for vector in answer.embeddings):
            raise Failure(
                reasons.ERROR_REASON_PROVIDER_MALFORMED,
                f"The worker gave {len(answer.embeddings)} vectors, or empty ones, for {asked} inputs.",
                provider=run.placed.provider,
            )
        return answer

    def _request(self, run: Run) -> worker.EmbedRequest:
        request = worker.EmbedRequest(
            spec=self.call.spec,
            attempt_id=run.placed.attempt_id,
            generation_id=self.id,
            tenant=self.call.tenant,
            drop_unsupported=run.placed.drop_unsupported,
            time_left=time_for_worker(self._time_left()),
            traceparent=self._entry.traceparent(run.placed.attempt_id),
        )
        request.spec.model = run.placed.provider_model
        return request


def _tries(metadata: Iterable[tuple[str, str | bytes]] | None) -> list[provider_try.ProviderTry]:
    """What the worker says that its provider was asked in vain."""
    for key, value in metadata or ():
        if key == _TRIES and isinstance(value, bytes):
            try:
                return list(worker.EmbedTries.FromString(value).tries)
            except DecodeError:
                return []  # they are told beside the answer: without them it still stands
    return []


def _failure(error: grpc.aio.AioRpcError, address: str) -> Failure:
    """The worker's own failure; or, where the call ended without its words, what that says of it."""
    if any(key == _DETAILS for key, _ in error.trailing_metadata() or ()):
        return status.from_rpc_error(error)
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:  # gRPC's own: a message over its limit
        return Failure(
            reasons.ERROR_REASON_REQUEST_TOO_LARGE,
            "The vectors are too large for one answer; ask for fewer inputs at once.",
            field="inputs",
        )
    return Failure(
        reasons.ERROR_REASON_WORKER_LOST, f"The worker at {address} cannot be reached ({error.code().name})."
    )
