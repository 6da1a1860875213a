"""Tells every router what is out of service, and its successor, too: routers keep it in memory alone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hybridinference.router.v1 import drains_pb2
from hybridinference.router.v1 import router_service_pb2 as router
from hybridinference.router.v1 import router_service_pb2_grpc as router_grpc

from services.chassis.beat import beat
from services.chassis.channel import open_channel
from services.chassis.credentials import Credentials
from services.chassis.failure import Failure
from services.config.places import RouterPlace
from services.gateway.admin import drains
from services.gateway.admin.drains import Drain

LOG = structlog.get_logger()

# How often the database is asked, for what other admin processes have changed, and while it does not answer.
_LOOK_SECONDS = 5.0
_AWAY_LOOK_SECONDS = 1.0
# How soon a router that could not be told, or watched, is tried again.
_RETRY_SECONDS = 1.0
# One that is thought to know is told again after so long: another admin process may have told it something older since.
_AGAIN_SECONDS = 30.0
_CALL_SECONDS = 5.0

# All that is out of service, by the database.
Read = Callable[[], Awaitable[Sequence[Drain]]]


class Telling:
    """Use `open_telling`."""

    def __init__(self, read: Read, names: Iterable[str]) -> None:
        self._read = read
        self._wanted: drains_pb2.Drains | None = None  # nothing is told before it is known
        self._known: dict[str, drains_pb2.Drains | None] = dict.fromkeys(names)
        self._changed = asyncio.Condition()
        self._reading = asyncio.Lock()  # what was read earlier is never taken for newer

    async def pending(self, *, seconds: float) -> list[str]:
        """Read what is out of service, and wait until every router knows, for up to `seconds`; those that do not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._look()
                async with self._changed:
                    await self._changed.wait_for(lambda: not self._late())
        return self._late()

    def _late(self) -> list[str]:
        return [name for name, known in self._known.items() if known is None or known != self._wanted]

    async def _look(self) -> bool:
        """Read once. Returns whether the database answered; where it does not, what was read last holds."""
        async with self._reading:
            try:
                wanted = drains.told(await self._read())
            except Failure:
                return False
            async with self._changed:
                self._wanted = wanted
                self._changed.notify_all()
        return True

    async def look(self) -> None:
        """Read again and again, for ever: another admin process may have changed it."""
        while True:
            await beat(_LOOK_SECONDS if await self._look() else _AWAY_LOOK_SECONDS)

    async def tell(self, name: str, channel: grpc.aio.Channel) -> None:
        """Tell one router for ever, at once where there is news."""
        stub: router_grpc.RouterServiceAsyncStub = router_grpc.RouterServiceStub(channel)
        while True:
            await self._until(lambda: self._wanted is not None)
            wanted = self._wanted
            request = router.SetDrainsRequest(drains=wanted)
            try:
                # As soon as it is there: one that starts is to know before it places.
                await stub.SetDrains(request, timeout=_CALL_SECONDS, wait_for_ready=True)
            except grpc.aio.AioRpcError as error:
                LOG.debug("router.untold", router=name, code=error.code().name)
                await self._now_known(name, None)
                await self._until(lambda wanted=wanted: self._wanted != wanted, seconds=_RETRY_SECONDS)  # type: ignore[misc]
                continue
            await self._now_known(name, wanted)
            news = await self._until(
                lambda: self._known[name] is None or self._known[name] != self._wanted, seconds=_AGAIN_SECONDS
            )
            if not news:  # what another admin process has changed since is not to be undone
                with contextlib.suppress(TimeoutError):  # a database that hangs keeps no router waiting
                    async with asyncio.timeout(_RETRY_SECONDS):
                        await self._look()

    async def meet(self, name: str, channel: grpc.aio.Channel) -> None:
        """Notice, for ever, that a router has gone or come: the one that comes knows nothing."""
        stub, loop = health_pb2_grpc.HealthStub(channel), asyncio.get_running_loop()
        while True:
            begun = loop.time()
            watch = stub.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True)  # type: ignore[attr-defined]  # untyped
            try:
                async for _ in watch:
                    await self._now_known(name, None)
            except grpc.aio.AioRpcError as error:
                LOG.debug("router.unwatched", router=name, code=error.code().name)
            finally:
                watch.cancel()  # grpc.aio never cancels a call that is merely dropped
            await self._now_known(name, None)
            # One that has been watched for long was there: whoever comes after it is met at once.
            if (left := begun + _RETRY_SECONDS - loop.time()) > 0:
                await asyncio.sleep(left)

    async def _now_known(self, name: str, known: drains_pb2.Drains | None) -> None:
        async with self._changed:
            self._known[name] = known
            self._changed.notify_all()

    async def _until(self, true: Callable[[], bool], *, seconds: float | None = None) -> bool:
        """Wait until something is true, or for so long. Returns whether it is."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                return await self._changed.wait_for(true)
        except TimeoutError:
            return False


@contextlib.asynccontextmanager
async def open_telling(
    read: Read, routers: Sequence[RouterPlace], credentials: Credentials | None = None
) -> AsyncIterator[Telling]:
    """Tell these routers until the context ends."""
    telling = Telling(read, [place.name for place in routers])
    async with contextlib.AsyncExitStack() as stack:
        channels = [
            (place.name, await stack.enter_async_context(open_channel(place.address, "router", credentials)))
            for place in routers
        ]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(telling.look())]
            tasks += [group.create_task(one(*router)) for router in channels for one in (telling.meet, telling.tell)]
            try:
                yield telling
            finally:
                for task in tasks:
                    task.cancel()
