"""A socket's address short enough for the kernel, and a server with handlers of the test's own."""

import contextlib
import dataclasses
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from services.chassis.channel import open_channel
from services.chassis.server import Server, open_server


@dataclasses.dataclass(frozen=True, slots=True)
class Served:
    """A server that is up, a channel to it, and its metrics."""

    server: Server
    channel: grpc.aio.Channel
    registry: CollectorRegistry

    def handled(self, method: str, code: str) -> float:
        """How many calls of a method have ended with a code."""
        labels = {"grpc_service": "test.Test", "grpc_method": method, "grpc_code": code}
        return self.count("grpc_server_handled_total", **labels)

    def count(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        return sum(
            sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


Serve = Callable[..., contextlib.AbstractAsyncContextManager[Served]]


@pytest.fixture
def address() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="hy") as directory:
        yield f"unix:{directory}/s.sock"


@pytest.fixture
def serve(address: str) -> Serve:
    """Serves handlers as methods of `test.Test`: `async with serve({"Call": handler}) as served`."""

    @contextlib.asynccontextmanager
    async def serving(handlers: Mapping[str, Any], *, endless: Collection[str] = ()) -> AsyncIterator[Served]:
        registry = CollectorRegistry()

        def add(server: grpc.aio.Server) -> None:
            generic = grpc.method_handlers_generic_handler("test.Test", dict(handlers))
            server.add_generic_rpc_handlers((generic,))

        async with (
            open_server(address, add, ["test.Test"], registry, endless=endless) as server,
            open_channel(address) as channel,
        ):
            yield Served(server, channel, registry)

    return serving
