"""A router's end of what gateways say, in the hands of a test."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from hybridinference.router.v1 import fleet_pb2 as fleet
from hybridinference.router.v1 import placement_pb2 as placement
from hybridinference.router.v1 import router_service_pb2 as router
from hybridinference.router.v1 import router_service_pb2_grpc as router_grpc

from services.chassis import status
from services.chassis.failure import Failure


class Router(router_grpc.RouterServiceServicer):
    """The router's end, in the hands of a test: keeps what it is told, answers what it is given."""

    def __init__(self) -> None:
        self.commands: list[router.PlaceCommand] = []
        self.outbox: asyncio.Queue[router.PlaceResponse] = asyncio.Queue()
        self.worker = "w"

    def said(self, kind: str) -> list[Any]:
        """Everything of one kind that the gateway has said."""
        return [getattr(command, kind) for command in self.commands if command.HasField(kind)]

    def place(self, generation_id: str, attempt_id: str) -> None:
        """Answer with a placement."""
        placed = placement.Placement(
            generation_id=generation_id, attempt_id=attempt_id, number=1, worker="w", address="unix:w"
        )
        self.outbox.put_nowait(router.PlaceResponse(answers=[router.PlaceAnswer(placement=placed)]))

    def have_wait(self, generation_id: str) -> None:
        """Answer that it waits."""
        waits = placement.Waiting(generation_id=generation_id, ahead=3)
        self.outbox.put_nowait(router.PlaceResponse(answers=[router.PlaceAnswer(waiting=waits)]))

    def refuse(self, generation_id: str, why: Failure) -> None:
        """Answer with a refusal."""
        refusal = placement.Refusal(generation_id=generation_id, status=status.to_status(why))
        self.outbox.put_nowait(router.PlaceResponse(answers=[router.PlaceAnswer(refusal=refusal)]))

    async def Place(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]
        await context.send_initial_metadata(())
        reading = asyncio.create_task(self._read(request_iterator))
        try:
            while True:
                await context.write(await self.outbox.get())
        finally:
            reading.cancel()

    async def WatchFleet(self, request: Any, context: Any) -> AsyncIterator[router.WatchFleetResponse]:
        worker = fleet.FleetWorker(worker=self.worker, address="unix:w", health=fleet.WORKER_HEALTH_HEALTHY)
        worker.routes.add(model="m", provider_model="m")
        yield router.WatchFleetResponse(workers=[worker])
        await asyncio.get_running_loop().create_future()

    async def Explain(self, request: router.ExplainRequest, context: Any) -> router.ExplainResponse:
        return router.ExplainResponse(config_version=self.worker)

    async def _read(self, request_iterator: Any) -> None:
        async for request in request_iterator:
            self.commands += request.commands
