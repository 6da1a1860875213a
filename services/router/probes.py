"""Small generations at workers that have had nothing to do, so that a dead engine is found before a caller finds it."""

import asyncio
import random
from collections.abc import Callable

import grpc
import structlog
from google.rpc import code_pb2, status_pb2
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.worker.v1 import worker_service_pb2 as worker_service
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from services.chassis import status
from services.chassis.beat import beat
from services.config.mesh import MeshConfig
from services.router import probing
from services.router.faults import Kind, Verdict, judge
from services.router.roster import Roster
from services.router.worker import Worker

LOG = structlog.get_logger()

# How often it is looked at whether a worker is to be asked: while it is not known to be well, and else.
_LOOK_SECONDS = 0.5
_CALM_LOOK_SECONDS = 1.0
# Not all that are due are asked at the same moment, nor by all routers.
_APART_SECONDS = 0.2


class Probes:
    """Asks the workers that cost nothing. A probe goes to the worker itself: no gateway, no ledger, no lease."""

    def __init__(
        self,
        config: MeshConfig,
        roster: Roster,
        notify: Callable[[], None],
        *,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self.config = config
        self._roster = roster
        self._notify = notify
        self._clock = clock
        self._rng = rng

    async def follow(self, worker: Worker, channel: grpc.aio.Channel) -> None:
        """Probe one worker whenever that is due, one probe at a time, for ever."""
        stub = worker_grpc.WorkerServiceStub(channel)
        asked_at, failed = self._clock(), False
        while True:
            uncertain = probing.uncertain(worker, self._clock(), asked_at=asked_at, failed=failed)
            await beat(_LOOK_SECONDS if uncertain else _CALM_LOOK_SECONDS)
            looked_at = self._clock()
            if not self._may_ask(worker, looked_at, asked_at, failed):
                continue
            await asyncio.sleep(_APART_SECONDS * self._rng.random())
            model = probing.model_to_ask(worker)
            if model and self._may_ask(worker, self._clock(), asked_at, failed):
                asked_at = looked_at
                failed = await self._probe(worker, stub, model) is Kind.HARD

    def _may_ask(self, worker: Worker, now: float, asked_at: float, failed: bool) -> bool:
        settings = self.config.router.probe
        due = settings.enabled and probing.due(worker, settings, now, asked_at=asked_at, failed=failed)
        return due and probing.is_free(worker, self.config, self._roster)

    async def _probe(self, worker: Worker, stub: "worker_grpc.WorkerServiceAsyncStub", model: str) -> Kind:
        epoch, probe = worker.epoch, worker.on_probe(self._clock())
        verdict = Verdict(Kind.CALLER)  # what a router that stops, and cuts it short, learns from it
        try:
            verdict = await self._ask(stub, model)
        finally:
            now = self._clock()
            self._roster.on_probed(worker, epoch, verdict, model, now, self._rng, probe=probe)
            self._notify()
        if verdict.kind is Kind.HARD:
            LOG.info("worker.probe_failed", worker=worker.name, reason=verdict.reason)
        return verdict.kind

    async def _ask(self, stub: "worker_grpc.WorkerServiceAsyncStub", model: str) -> Verdict:
        spec = generation.GenerationSpec(model=model, max_output_tokens=1)
        spec.messages.add(role=conversation.ROLE_USER).parts.add(text="1")
        call = stub.Execute(worker_service.ExecuteRequest(spec=spec))
        try:
            async with asyncio.timeout(self.config.router.probe.seconds):
                async for _ in call:
                    pass
        except TimeoutError:
            return Verdict(Kind.HARD, "DEADLINE_EXCEEDED")
        except grpc.aio.AioRpcError as error:
            return judge(_status(error))
        finally:
            call.cancel()
        return judge(status_pb2.Status(code=code_pb2.OK))


def _status(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """What the call ended with, details included."""
    return status.to_status(status.from_rpc_error(error))
