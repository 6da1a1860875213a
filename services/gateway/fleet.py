"""The fleet as the router last told it."""

import asyncio
from collections.abc import Sequence

import grpc
import structlog
from hybridinference.router.v1 import fleet_pb2 as fleet
from hybridinference.router.v1 import router_service_pb2 as router

from services.gateway.routers import Routers

LOG = structlog.get_logger()

_RETRY_SECONDS = 0.25


class FleetView:
    """Follows WatchFleet. What was last heard stays, so that a gateway can place alone while routers are away."""

    def __init__(self, routers: Routers) -> None:
        self._routers = routers
        self.workers: Sequence[fleet.FleetWorker] = ()

    async def follow(self) -> None:
        """Follow the router that the gateway keeps to for ever, through its restarts."""
        while True:
            async with self._routers.keeping() as kept:
                call = kept.stub.WatchFleet(router.WatchFleetRequest())
                try:
                    async for response in call:
                        self.workers = response.workers
                except grpc.aio.AioRpcError as error:
                    LOG.debug("fleet.lost", router=kept.name, code=error.code().name)
                finally:
                    call.cancel()
            await asyncio.sleep(_RETRY_SECONDS)
