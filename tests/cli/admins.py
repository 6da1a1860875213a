"""An admin service that says what it is told to, and keeps what it is asked."""

import contextlib
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
from hybridinference.gateway.v1 import admin_service_pb2 as admin
from hybridinference.gateway.v1 import admin_service_pb2_grpc

from services.chassis import status
from services.chassis.failure import Failure

METHODS = [method.name for method in admin.DESCRIPTOR.services_by_name["AdminService"].methods]


class Admins:
    """What each method answers or fails with, in order; and what was asked, with which credential."""

    def __init__(self, said: dict[str, list[Any]]) -> None:
        self.said = said
        self.asked: list[tuple[str, Any, str]] = []

    def servicer(self) -> Any:
        made = admin_service_pb2_grpc.AdminServiceServicer()
        for method in METHODS:
            setattr(made, method, self._answering(method))
        return made

    def _answering(self, method: str) -> Any:
        async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            metadata = dict(context.invocation_metadata() or ())
            self.asked.append((method, request, metadata["authorization"]))
            said = self.said[method].pop(0)
            if isinstance(said, Failure):
                await context.abort_with_status(status.to_grpc(said))
            return said

        return answer


@contextlib.asynccontextmanager
async def admins(home: pathlib.Path, said: dict[str, list[Any]]) -> AsyncIterator[Admins]:
    """One that listens where that of a mesh in the home does."""
    made = Admins(said)
    server = grpc.aio.server()
    admin_service_pb2_grpc.add_AdminServiceServicer_to_server(made.servicer(), server)
    server.add_insecure_port(f"unix:{home}/run/admin.sock")
    await server.start()
    try:
        yield made
    finally:
        await server.stop(None)
