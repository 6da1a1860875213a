"""The fleet's news: what every worker reports comes in, what changed goes out."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence

import grpc
import structlog
from hybridinference.router.v1 import fleet_pb2 as fleet
from hybridinference.worker.v1 import worker_service_pb2 as worker_service
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from services.chassis.beat import beat
from services.chassis.channel import open_channel
from services.chassis.credentials import Credentials
from services.router.roster import Roster
from services.router.worker import Worker

LOG = structlog.get_logger()

# A watcher hears of a change at once, and of those that follow together.
_COALESCE_SECONDS = 0.1
# Only for a worker that answers and then fails the call: waiting for one that is not there is the channel's business.
_PAUSE_SECONDS = 0.1
_PAUSE_MAX_SECONDS = 1.0
# While attempts wait for their first content, and else. What is decided goes by the time itself.
_TICK_SECONDS = 0.25
_CALM_TICK_SECONDS = 1.0


# Does something with a worker for as long as it is followed, over its channel.
Companion = Callable[[Worker, grpc.aio.Channel], Coroutine[None, None, None]]


class Fleet:
    """Follows WatchStatus of every worker, and lets others follow the roster. `on_news` is called at each change."""

    def __init__(
        self,
        roster: Roster,
        *,
        stale_seconds: float,
        clock: Callable[[], float],
        credentials: Credentials | None = None,
    ) -> None:
        self._roster = roster
        self._stale_seconds = stale_seconds
        self._clock = clock
        self._credentials = credentials
        self._waiting: list[asyncio.Future[None]] = []
        self._followers: dict[Worker, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self.on_news: Callable[[], None] = _nobody
        self._besides: Sequence[Companion] = ()
        self._unheard = set(roster.workers)
        self._all_heard = asyncio.Event()
        self._settled = asyncio.Event()

    @contextlib.asynccontextmanager
    async def watching(self, *besides: Companion) -> AsyncIterator[None]:
        """Follow the workers, each over a channel of its own, until the context ends.

        Args:
            besides: what else is done for each worker, by its channel, for as long as it is followed.
        """
        self._besides = besides
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._match()
            ticking = group.create_task(self._tick())
            try:
                yield
            finally:
                self._group = None
                followers, self._followers = self._followers, {}
                for task in (*followers.values(), ticking):
                    task.cancel()

    def reconfigure(self, *, stale_seconds: float) -> None:
        """Follow the workers that the roster has now, and those that have left for as long as they have leases."""
        self._stale_seconds = stale_seconds
        self._unheard.intersection_update(self._roster.workers)
        self._match()
        self.notify()

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
        if self._roster.leaving and self._roster.forget_idle():
            self._match()
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

    def _match(self) -> None:
        """Begin to follow those who have come, and no longer follow those who have gone."""
        if self._group is None:
            return
        wanted = {*self._roster.workers.values(), *self._roster.leaving.values()}
        for worker in self._followers.keys() - wanted:
            self._followers.pop(worker).cancel()
        for worker in sorted(wanted - self._followers.keys(), key=lambda worker: worker.name):
            self._followers[worker] = self._group.create_task(self._attend(worker))

    async def _tick(self) -> None:
        """Tell the roster that time passes, also while nobody asks for anything."""
        while True:
            await beat(_TICK_SECONDS if self._roster.expectant else _CALM_TICK_SECONDS)
            self._roster.on_time(self._clock())
            self.notify()

    async def _attend(self, worker: Worker) -> None:
        """Do all that is done for a worker, until nobody wants it any more. A fault in that is this worker's alone."""
        while True:
            try:
                channel = open_channel(worker.place.address, "worker", self._credentials)
                async with channel, asyncio.TaskGroup() as group:
                    for beside in (self._follow, *self._besides):
                        group.create_task(beside(worker, channel))
            except* Exception as faults:
                LOG.error("following.crashed", worker=worker.name, exc_info=faults)
            if worker not in self._followers:
                return
            self._roster.on_lost(worker.name)
            self.notify()
            await asyncio.sleep(_PAUSE_MAX_SECONDS)

    async def _follow(self, worker: Worker, channel: grpc.aio.Channel) -> None:
        """Read a worker's reports for ever."""
        stub = worker_grpc.WorkerServiceStub(channel)
        pause = 0.0
        while True:
            heard = await self._read(worker, stub)
            if worker not in self._followers:
                return
            self._roster.on_lost(worker.name)
            self.notify()
            # After a stream that had worked the next one begins at once: the worker may have just been restarted.
            pause = 0.0 if heard else min(max(_PAUSE_SECONDS, pause * 2), _PAUSE_MAX_SECONDS)
            await asyncio.sleep(pause)

    async def _read(self, worker: Worker, stub: "worker_grpc.WorkerServiceAsyncStub") -> bool:
        """Read one stream until it ends, fails or falls silent. Returns whether anything came."""
        name, heard = worker.name, False
        # The channel tells when the worker is there; failing fast would only make us ask again and again.
        call = stub.WatchStatus(worker_service.WatchStatusRequest(prefixes=True), wait_for_ready=True)
        try:
            while True:
                async with asyncio.timeout(self._stale_seconds):
                    response = await call.read()
                if not isinstance(response, worker_service.WatchStatusResponse):  # the stream's end
                    return heard
                if worker not in self._followers:  # its end is on its way here; another one may have the name by now
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
