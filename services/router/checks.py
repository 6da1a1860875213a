"""The workers' own word on whether they take work: `grpc.health.v1`, watched."""

import asyncio
from collections.abc import Callable

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.router.roster import Roster
from services.router.worker import Worker

LOG = structlog.get_logger()

_PAUSE_SECONDS = 1.0
# A call that waits for a worker shows the certificate that held when it began: asked again, it shows the present one.
_CONNECT_SECONDS = 60.0


class Checks:
    """Follows Watch of every worker's health service, for the process as a whole."""

    def __init__(self, roster: Roster, notify: Callable[[], None]) -> None:
        self._roster = roster
        self._notify = notify

    async def follow(self, worker: Worker, channel: grpc.aio.Channel) -> None:
        """Watch one worker, for ever."""
        name = worker.name
        stub = health_pb2_grpc.HealthStub(channel)
        while True:
            call = stub.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True)  # type: ignore[attr-defined]  # untyped
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await call.initial_metadata()
                async for answer in call:
                    self._heard(name, well=answer.status == health_pb2.HealthCheckResponse.SERVING)
            except grpc.aio.AioRpcError as error:
                LOG.debug("worker.health_stream_failed", worker=name, code=error.code().name)
            except TimeoutError:
                LOG.debug("worker.health_unheard", worker=name, seconds=_CONNECT_SECONDS)
            finally:
                call.cancel()  # grpc.aio never cancels a call that is merely dropped
            # That nothing is heard says nothing: whether the worker is there at all, its reports tell.
            self._heard(name, well=True)
            await asyncio.sleep(_PAUSE_SECONDS)

    def _heard(self, name: str, *, well: bool) -> None:
        self._roster.on_checked(name, well=well)
        self._notify()
