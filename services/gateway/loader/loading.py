"""The loader's work: follow a spool, load it, keep what is loaded for a while."""

import asyncio
import contextlib
import dataclasses
import pathlib
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager

import structlog
from prometheus_client import CollectorRegistry

from services.chassis.beat import until_beat
from services.gateway.database import UNAVAILABLE
from services.gateway.loader.batches import Batch, Place, batches
from services.gateway.loader.dead import bury
from services.gateway.loader.metrics import BehindCollector, LoaderMetrics
from services.gateway.loader.reader import read_spool_id
from services.gateway.loader.store import Overtaken, Refused, Store
from services.gateway.spool import kept
from services.gateway.spool.framing import Damage, Frame
from services.gateway.spool.segments import Segment, segments

LOG = structlog.get_logger()

# So soon after it has loaded something a loader looks again. Meanwhile records gather: most of what a transaction costs
# is the same for one row and for a hundred. While a spool is idle it looks more and more seldom, so often at least: a
# row is in the table about when somebody can ask for it. inotify would save the looks and need a dependency.
_LOOK_SECONDS = (0.15, 1.0)
_RETRY_SECONDS = (0.1, 2.0)
# What is kept is looked at when something is added, and else so often.
_TIDY_SECONDS = 60.0
_LEAST_FREE_BYTES = 64 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Keeping:
    """How long loaded segments are kept, and how many bytes of them at most."""

    seconds: float
    max_bytes: int


def next_pause(before: float, *, found: bool) -> float:
    """Seconds until the next look: after one that found something, or one that did not and followed such a pause."""
    soonest, latest = _LOOK_SECONDS
    return soonest if found else min(before + soonest, latest)


class Loader:
    """Loads one spool. The database may come and go, and come back without what it had."""

    def __init__(
        self,
        directory: pathlib.Path,
        connect: Callable[[], AbstractAsyncContextManager[Store]],
        registry: CollectorRegistry,
        *,
        keeping: Keeping,
    ) -> None:
        self._directory = directory
        self._connect = connect
        self._keeping = keeping
        self._metrics = LoaderMetrics(registry)
        self._loaded: dict[str, int] = {}  # the database's word, kept as long as the connection
        self._again: dict[str, Segment] = {}  # kept segments that this database lacks
        self._kept_bytes = 0
        self._tidy_at = 0.0
        self._answering: bool | None = None
        registry.register(BehindCollector(self))

    async def follow(self, stop: asyncio.Event) -> None:
        """Load until `stop` is set, and then once more what there is. Never ends for want of a database."""
        delay, longest = _RETRY_SECONDS
        while True:
            last = stop.is_set()
            try:
                async with self._connect() as store:
                    await self._follow(store, stop)
                return
            except (*UNAVAILABLE, Overtaken) as error:
                if self._answering:
                    delay = _RETRY_SECONDS[0]
                self._answers(False, error)
                if last:
                    LOG.warning("loader.left_behind", bytes=self.behind()[0])
                    return
                await _wait(stop, delay)
                delay = min(2 * delay, longest)

    def behind(self) -> tuple[int, float]:
        """Bytes of the spool that are not loaded, and the age in seconds of the oldest segment with such bytes."""
        found = [*self._again.values(), *segments(self._directory)]
        waiting = [segment for segment in found if segment.size > self._loaded.get(segment.name, 0)]
        total = sum(segment.size - self._loaded.get(segment.name, 0) for segment in waiting)
        return total, max(0.0, time.time() - min(waiting).created()) if waiting else 0.0

    def kept_bytes(self) -> int:
        """Bytes of loaded segments that are kept, as of the last look."""
        return self._kept_bytes

    def connected(self) -> bool:
        """Whether the database took the last thing it was given."""
        return bool(self._answering)

    async def _follow(self, store: Store, stop: asyncio.Event) -> None:
        spool_id = None
        pause = 0.0
        while True:
            last = stop.is_set()
            if spool_id is None and (spool_id := read_spool_id(self._directory)) is not None:
                await self._compare(store, spool_id)
            moved = spool_id is not None and await self._pass(store, spool_id)
            self._answers(True)
            if last and not moved:
                return
            pause = next_pause(pause, found=moved)
            # The last pause is shared with what else the process does once a second.
            await _wait(stop, pause if pause < _LOOK_SECONDS[1] else until_beat(pause))
            if store.lost:
                raise ConnectionResetError("the database has closed the connection")

    async def _compare(self, store: Store, spool_id: str) -> None:
        """Ask what the database has. It may be another than before: an older one, or a replica that lagged."""
        self._loaded = await store.progress(spool_id)
        found = [one.segment for one in kept.kept(self._directory)]
        self._again = {one.name: one for one in found if self._loaded.get(one.name, 0) < one.size}
        if self._again:
            LOG.warning("loader.replays", segments=len(self._again), bytes=self.behind()[0])

    async def _pass(self, store: Store, spool_id: str) -> bool:
        """Load what there is. Returns whether there was anything."""
        found = segments(self._directory)
        if not self._has_work(found):
            return False
        moved = False
        for segment in found:  # loaded by one that was killed before it put them aside
            moved |= self._put_aside(segment)
        async with contextlib.aclosing(_ahead(batches(self._places(found), self._bury))) as ahead:
            async for batch in ahead:
                with self._metrics.seconds.time():
                    await self._load(store, spool_id, batch)
                self._put_aside(batch.place.segment)
                moved = True
        if time.monotonic() >= self._tidy_at:
            await self._tidy(store, spool_id)
        return moved

    def _has_work(self, found: list[Segment]) -> bool:
        """Whether anything is to be loaded, put aside or tidied: while nobody asks for anything, nothing is."""
        new = any(segment.closed or segment.size > self._loaded.get(segment.name, 0) for segment in found)
        return new or bool(self._again) or time.monotonic() >= self._tidy_at

    def _places(self, found: list[Segment]) -> Iterator[tuple[Place, int]]:
        for directory, some in (
            (self._directory, found),
            (self._directory / kept.KEPT_DIRECTORY, list(self._again.values())),
        ):
            for segment in some:
                yield Place(directory, segment), self._loaded.get(segment.name, 0)

    async def _load(self, store: Store, spool_id: str, batch: Batch) -> None:
        """Load a batch; where the database refuses it, find the record that it refuses."""
        name = batch.place.segment.name
        records = [entry.rows for entry in batch.entries if entry.rows]
        try:
            new = await store.load(spool_id, name, batch.start, batch.end, records)
        except Refused as refused:
            if len(batch.entries) > 1:
                for half in batch.halves():
                    await self._load(store, spool_id, half)
                return
            self._bury(batch.place, batch.entries[0].piece, str(refused))
            records, new = [], await store.load(spool_id, name, batch.start, batch.end, [])
        self._loaded[name] = batch.end
        self._metrics.requests.inc(new)
        # A late shadow's record may be the first of its request: the other one was put aside.
        self._metrics.replayed.inc(max(0, sum(rows.is_end for rows in records) - new))

    def _put_aside(self, segment: Segment) -> bool:
        """Keep a segment that is loaded, and will not grow. Returns whether it is."""
        if not segment.closed or self._loaded.get(segment.name, 0) < segment.size:
            return False
        if self._again.pop(segment.name, None):  # is where it belongs
            self._metrics.replays.inc()
            return True
        try:
            kept.keep(self._directory, segment, loaded_at=time.time())
        except OSError as error:  # the disk is full, perhaps, and then this makes room
            segment.path(self._directory).unlink(missing_ok=True)
            LOG.warning("loader.not_kept", segment=segment.name, code=error.errno)
        self._tidy_at = 0.0
        self._kept_bytes += segment.size
        if self._kept_bytes > self._keeping.max_bytes:
            self._remove_surplus()
        return True

    def _remove_surplus(self) -> None:
        found = kept.kept(self._directory)
        # A gateway that cannot write refuses requests: then there is nothing to keep any more.
        full = shutil.disk_usage(self._directory).free < _LEAST_FREE_BYTES
        gone = kept.surplus(
            [one for one in found if one.segment.name not in self._again],
            now=time.time(),
            seconds=self._keeping.seconds,
            max_bytes=0 if full else self._keeping.max_bytes,
        )
        for one in gone:
            kept.kept_path(self._directory, one).unlink(missing_ok=True)
        self._kept_bytes = sum(one.segment.size for one in found) - sum(one.segment.size for one in gone)

    async def _tidy(self, store: Store, spool_id: str) -> None:
        """Remove what was kept long enough, and forget the progress of what is no more."""
        self._remove_surplus()
        self._tidy_at = time.monotonic() + _TIDY_SECONDS
        there = {segment.name for segment in segments(self._directory)}
        there |= {one.segment.name for one in kept.kept(self._directory)}
        self._again = {name: segment for name, segment in self._again.items() if name in there}
        if self._loaded.keys() - there:
            await store.forget(spool_id, list(there))
            self._loaded = {name: size for name, size in self._loaded.items() if name in there}

    def _bury(self, place: Place, piece: Frame | Damage, reason: str) -> None:
        path = bury(self._directory, place, piece, reason)
        self._metrics.dead.inc()
        LOG.error("loader.dead_letter", file=path.name, bytes=piece.end - piece.start, reason=reason)

    def _answers(self, answering: bool, error: BaseException | None = None) -> None:
        if answering == self._answering:
            return
        self._answering = answering
        if answering:
            LOG.info("loader.working")
        else:
            # The type and code only: a message may quote a row or the DSN.
            code = getattr(error, "sqlstate", None) or getattr(error, "errno", None)
            LOG.warning("loader.failing", error=type(error).__name__, code=code)


async def _ahead(source: AsyncIterator[Batch]) -> AsyncGenerator[Batch, None]:
    """The same batches; the next one is made while the caller is busy with this one."""
    coming = asyncio.ensure_future(anext(source, None))
    try:
        while (batch := await coming) is not None:
            coming = asyncio.ensure_future(anext(source, None))
            yield batch
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
