"""The fleet as the router last told it."""

import asyncio
from collections.abc import Sequence

import grpc
import structlog
from hybridinference.router.v1 import drains_pb2
from hybridinference.router.v1 import fleet_pb2 as fleet
from hybridinference.router.v1 import router_service_pb2 as router

from services.gateway.routers import Routers

LOG = structlog.get_logger()

_RETRY_SECONDS = 0.25


class FleetView:
    """Follows WatchFleet. What was last heard stays, so that a gateway can place alone while routers are away.

    Attributes:
        workers: the fleet.
        drained: whether operators have taken this gateway out of service.
        drains: all that they have; None where nothing was heard of it.
    """

    def __init__(self, routers: Routers, gateway: str) -> None:
        """`gateway` is our own name."""
        self._routers = routers
        self._gateway = gateway
        self.workers: Sequence[fleet.FleetWorker] = ()
        self.drained = False
        self.drains: drains_pb2.Drains | None = None
        self._changed = asyncio.Event()

    async def follow(self) -> None:
        """Follow the router that the gateway keeps to for ever, through its restarts."""
        while True:
            async with self._routers.keeping() as kept:
                call = kept.stub.WatchFleet(router.WatchFleetRequest())
                try:
                    async for response in call:
                        self.workers = response.workers
                        if response.HasField("drains"):  # else a router that has just started knows less than we
                            self.drains = response.drains
                            self._heard(self._gateway in response.drains.gateways)
                except grpc.aio.AioRpcError as error:
                    LOG.debug("fleet.lost", router=kept.name, code=error.code().name)
                finally:
                    call.cancel()
            await asyncio.sleep(_RETRY_SECONDS)

    async def drained_or_back(self) -> bool:
        """Wait until `drained` is another than before; what it is now."""
        await self._changed.wait()
        self._changed.clear()
        return self.drained

    def _heard(self, drained: bool) -> None:
        if drained != self.drained:
            self.drained = drained
            self._changed.set()
