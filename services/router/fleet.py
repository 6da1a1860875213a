"""The fleet's news: what every worker reports comes in, what changed goes out."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

import grpc
import structlog
from hybridinference.router.v1 import fleet_pb2 as fleet
from hybridinference.worker.v1 import worker_service_pb2 as worker_service
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from services.router.roster import Roster

LOG = structlog.get_logger()

# A watcher hears of a change at once, and of those that follow together.
_COALESCE_SECONDS = 0.1
# Only for a worker that answers and then fails the call: waiting for one that is not there is the channel's business.
_PAUSE_SECONDS = 0.1
_PAUSE_MAX_SECONDS = 1.0


class Fleet:
    """Follows WatchStatus of every worker, and lets others follow the roster. `on_news` is called at each change."""

    def __init__(self, roster: Roster, *, stale_seconds: float, clock: Callable[[], float]) -> None:
        self._roster = roster
        self._stale_seconds = stale_seconds
        self._clock = clock
        self._waiting: list[asyncio.Future[None]] = []
        self.on_news: Callable[[], None] = _nobody
        self._unheard = set(roster.workers)
        self._all_heard = asyncio.Event()
        self._settled = asyncio.Event()

    @contextlib.asynccontextmanager
    async def watching(self, channels: Mapping[str, grpc.aio.Channel]) -> AsyncIterator[None]:
        """Follow the workers, by name, until the context ends."""
        async with asyncio.TaskGroup() as group:
            followers = [group.create_task(self._follow(name, channel)) for name, channel in channels.items()]
            try:
                yield
            finally:
                for follower in followers:
                    follower.cancel()

    async def first_reports(self, *, seconds: float) -> None:
        """Wait until every worker has reported, or for so long. The fleet then counts as known."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._all_heard.wait()
        self._settled.set()

    async def settled(self) -> None:
        """Wait until the fleet is known."""
        await self._settled.wait()

    def notify(self) -> None:
        """The roster may have changed."""
        self.on_news()
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    async def snapshots(self) -> AsyncGenerator[list[fleet.FleetWorker], None]:
        """The whole fleet, at once and whenever it has changed."""
        while True:
            version = self._roster.version
            yield self._roster.snapshot(self._clock())
            await asyncio.sleep(_COALESCE_SECONDS)
            while self._roster.version == version:
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.append(future)
                await future

    async def _follow(self, name: str, channel: grpc.aio.Channel) -> None:
        """Read a worker's reports for as long as the router lives."""
        stub = worker_grpc.WorkerServiceStub(channel)
        pause = 0.0
        while True:
            heard = await self._read(name, stub)
            self._roster.on_lost(name)
            self.notify()
            # After a stream that had worked the next one begins at once: the worker may have just been restarted.
            pause = 0.0 if heard else min(max(_PAUSE_SECONDS, pause * 2), _PAUSE_MAX_SECONDS)
            await asyncio.sleep(pause)

    async def _read(self, name: str, stub: "worker_grpc.WorkerServiceAsyncStub") -> bool:
        """Read one stream until it ends, fails or falls silent. Returns whether anything came."""
        heard = False
        # The channel tells when the worker is there; failing fast would only make us ask again and again.
        call = stub.WatchStatus(worker_service.WatchStatusRequest(), wait_for_ready=True)
        try:
            while True:
                async with asyncio.timeout(self._stale_seconds):
                    response = await call.read()
                if not isinstance(response, worker_service.WatchStatusResponse):  # the stream's end
                    return heard
                heard = True
                self._roster.on_status(name, response.status, self._clock())
                self._unheard.discard(name)
                if not self._unheard:
                    self._all_heard.set()
                self.notify()
        except TimeoutError:
            LOG.debug("worker.silent", worker=name, seconds=self._stale_seconds)
        except grpc.aio.AioRpcError as error:
            LOG.debug("worker.stream_failed", worker=name, code=error.code().name)
        finally:
            call.cancel()  # grpc.aio never cancels a call that is merely dropped
        return heard


def _nobody() -> None:
    """Nobody is told."""
