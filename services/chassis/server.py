"""The gRPC server of a process: health, reflection, signals, bounded drain."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry

from services.chassis import links
from services.chassis.address import claimed
from services.chassis.admission import Admission
from services.chassis.credentials import Credentials
from services.chassis.health import Health
from services.chassis.interceptors import CallInterceptor
from services.chassis.notify import Notifier
from services.chassis.roles import Role
from services.chassis.rpc_metrics import RpcMetrics

LOG = structlog.get_logger()

# Above Envoy's limits, so that the edge answers first, in the caller's own format (see infrastructure/envoy).
_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.max_metadata_size", 64 << 10),
    ("grpc.absolute_max_metadata_size", 128 << 10),
    ("grpc.so_reuseport", 0),  # a second process on the same address is a mistake, not a pool
    # A peer that only keeps its connection alive is no abuser; ours ask every five seconds.
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.keepalive_permit_without_calls", 1),
]

# A call that was accepted just before the drain needs this long, at most, to reach its handler and be counted.
_SETTLE_SECONDS = 0.1

# Between hearing that we take no more work and no longer sending any: what is on its way still gets here.
_NOTICE_SECONDS = 0.5


class Server:
    """A server that is up. Health says NOT_SERVING until `mark_serving`, and again once it drains."""

    def __init__(self, server: grpc.aio.Server, calls: CallInterceptor, health: Health, names: Sequence[str]) -> None:
        self._server = server
        self._calls = calls
        self._health = health
        self._names = ("", *names)

    async def mark_serving(self, serving: bool = True) -> None:
        """Tell health checks whether this process takes work."""
        state = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in self._names:
            await self._health.set(name, state)

    async def mark_wanted(self, wanted: bool) -> None:
        """Tell those who check our services whether to call them. The process serves all the same, and says so."""
        state = health_pb2.HealthCheckResponse.SERVING if wanted else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in self._names:
            if name:
                await self._health.set(name, state)

    async def retire(self, *, seconds: float) -> None:
        """Say NOT_SERVING while calls are still taken, until those who check have noticed, for up to `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._health.retire()
                await asyncio.sleep(_NOTICE_SECONDS)

    async def drain(self, *, seconds: float) -> None:
        """Take no more calls, let running ones finish for up to `seconds`, cancel the rest.

        Endless calls (health watches, and those named to `open_server`) are not waited for.
        """
        await self._health.enter_graceful_shutdown()
        async with asyncio.TaskGroup() as tasks:
            stopped = tasks.create_task(self._server.stop(seconds))
            rested = tasks.create_task(self._rest())
            await asyncio.wait([stopped, rested], return_when=asyncio.FIRST_COMPLETED)
            rested.cancel()
            await self._server.stop(None)

    async def _rest(self) -> None:
        await asyncio.sleep(_SETTLE_SECONDS)
        await self._calls.rest()


@contextlib.asynccontextmanager
async def open_server(
    address: str,
    add: Callable[[grpc.aio.Server], None],
    names: Sequence[str],
    registry: CollectorRegistry,
    *,
    endless: Collection[str] = (),
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    credentials: Credentials | None = None,
    callers: Mapping[str, Collection[Role]] | None = None,
) -> AsyncIterator[Server]:
    """Serve on `unix:PATH` or `HOST:PORT` until the context ends.

    Args:
        address: where to listen.
        add: registers the servicers.
        names: full names of the services, for health and reflection.
        registry: where the calls' metrics go.
        endless: methods (`/package.Service/Method`) that end only when their caller wants; a drain cuts them.
        interceptors: what stands between ours, which counts and logs every call, and the handlers.
        credentials: with them anything but a unix socket is TLS, for callers with a certificate alone.
        callers: by method, the roles that may call it then; what is not named here is refused.

    Raises:
        OSError: another process serves on the unix socket.
        RuntimeError: the address is taken or cannot be bound.
    """
    if credentials:
        credentials.watch(registry)
    secured = credentials if not address.startswith("unix:") else None
    admit = Admission(callers or {}).admit if secured else None
    calls: Any = CallInterceptor(RpcMetrics(registry), endless=endless, admit=admit)
    options = [*_OPTIONS, *links.options(address)]
    server = grpc.aio.server(interceptors=[calls, *interceptors], options=options)
    # Generated code offers its handlers twice. Those that are registered have a task each that waits for a call, and
    # grpc.aio goes through all of them at every call; the others are found by their name, and one task waits for all.
    server.add_registered_method_handlers = lambda *_: None  # type: ignore[method-assign]
    health = Health()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    add(server)
    reflection.enable_server_reflection(
        (*names, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME), server
    )
    up = Server(server, calls, health, names)
    await up.mark_serving(False)
    with claimed(address):
        if secured:
            server.add_secure_port(address, secured.server())
        else:
            server.add_insecure_port(address)
        await server.start()
        LOG.info("server.listening", address=address, tls=secured is not None)
        try:
            yield up
        finally:
            await server.stop(None)


async def stop_requested(serving: Notifier | None = None) -> signal.Signals:
    """Wait for SIGTERM or SIGINT; which of them it was.

    Args:
        serving: hears that the process serves, and then that it stops. Not before a signal would be heard.
    """
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[signal.Signals] = loop.create_future()

    def asked(number: signal.Signals) -> None:
        if not stop.done():
            stop.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked, number)
    if serving is not None:
        serving.ready()
    number = await stop
    if serving is not None:
        serving.stopping()
    LOG.info("process.stopping")
    return number
