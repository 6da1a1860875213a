"""The loader's work: follow a spool, load it, delete what is loaded."""

import asyncio
import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.gateway.loader.dead import bury
from services.gateway.loader.reader import read_chunk, read_spool_id
from services.gateway.loader.rows import Rows, parse
from services.gateway.loader.store import UNAVAILABLE, Overtaken, Refused, Store
from services.gateway.loader.values import RecordInvalid
from services.gateway.spool.framing import Damage, Frame
from services.gateway.spool.segments import Segment, segments

LOG = structlog.get_logger()

# Looking at an idle spool is one listing of a short directory, some 30 µs: at this pace 0.02 % of a CPU, on any file
# system, and a row is in the table before somebody can ask for it. inotify would save that and need a dependency.
_LOOK_SECONDS = 0.15
_RETRY_SECONDS = (0.1, 2.0)
_DAY_SECONDS = 86_400


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A piece of a segment, and its rows where it has any."""

    piece: Frame | Damage
    rows: Rows | None


class LoaderMetrics:
    """What the loader has done."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter("hybrid_loader_requests", "Requests inserted.", registry=registry)
        self.replayed = Counter(
            "hybrid_loader_replayed", "Requests that were in the ledger already.", registry=registry
        )
        self.dead = Counter("hybrid_loader_dead_letters", "Records, or damaged bytes, put aside.", registry=registry)
        self.seconds = Histogram("hybrid_loader_batch_seconds", "Time to load one batch.", registry=registry)


class Loader:
    """Loads one spool. The database may come and go."""

    def __init__(
        self,
        directory: pathlib.Path,
        connect: Callable[[], AbstractAsyncContextManager[Store]],
        registry: CollectorRegistry,
    ) -> None:
        self._directory = directory
        self._connect = connect
        self._metrics = LoaderMetrics(registry)
        self._loaded: dict[str, int] = {}  # the database's word, kept as long as the connection
        self._answering: bool | None = None
        registry.register(_BehindCollector(self))

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
        waiting = [s for s in segments(self._directory) if s.size > self._loaded.get(s.name, 0)]
        total = sum(segment.size - self._loaded.get(segment.name, 0) for segment in waiting)
        return total, max(0.0, time.time() - waiting[0].created()) if waiting else 0.0

    def connected(self) -> bool:
        """Whether the database took the last thing it was given."""
        return bool(self._answering)

    async def _follow(self, store: Store, stop: asyncio.Event) -> None:
        spool_id = None
        while True:
            last = stop.is_set()
            if spool_id is None and (spool_id := read_spool_id(self._directory)) is not None:
                self._loaded = await store.progress(spool_id)
            moved = spool_id is not None and await self._pass(store, spool_id)
            self._answers(True)
            if not moved:
                if last:
                    return
                await _wait(stop, _LOOK_SECONDS)
                if store.lost:
                    raise ConnectionResetError("the database has closed the connection")

    async def _pass(self, store: Store, spool_id: str) -> bool:
        """Load what there is. Returns whether there was anything."""
        moved = False
        found = segments(self._directory)
        for segment in found:
            while chunk := read_chunk(self._directory, segment, self._loaded.get(segment.name, 0)):
                with self._metrics.seconds.time():
                    await self._load(store, spool_id, segment, [self._entry(segment, piece) for piece in chunk])
                moved = True
            if segment.closed and self._loaded.get(segment.name, 0) >= segment.size:
                segment.path(self._directory).unlink(missing_ok=True)
                moved = True
        kept = {segment.name for segment in found}
        if self._loaded.keys() - kept:  # deleted in an earlier pass, or by a loader that was then killed
            await store.forget(spool_id, list(kept))
            self._loaded = {name: size for name, size in self._loaded.items() if name in kept}
        return moved

    async def _load(self, store: Store, spool_id: str, segment: Segment, batch: Sequence[Entry]) -> None:
        """Load a batch; where the database refuses it, find the record that it refuses."""
        start, end = batch[0].piece.start, batch[-1].piece.end
        records = [entry.rows for entry in batch if entry.rows]
        try:
            new = await store.load(spool_id, segment.name, start, end, records)
        except Refused as refused:
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._load(store, spool_id, segment, batch[:middle])
                await self._load(store, spool_id, segment, batch[middle:])
                return
            self._bury(segment, batch[0].piece, str(refused))
            records, new = [], await store.load(spool_id, segment.name, start, end, [])
        self._loaded[segment.name] = end
        self._metrics.requests.inc(new)
        self._metrics.replayed.inc(len(records) - new)

    def _entry(self, segment: Segment, piece: Frame | Damage) -> Entry:
        try:
            if isinstance(piece, Frame):
                return Entry(piece, parse(piece.payload, int(time.time()) // _DAY_SECONDS))
            self._bury(segment, piece, "no whole record: cut, or changed on disk")
        except RecordInvalid as error:
            self._bury(segment, piece, str(error))
        return Entry(piece, None)

    def _bury(self, segment: Segment, piece: Frame | Damage, reason: str) -> None:
        path = bury(self._directory, segment, piece, reason)
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


class _BehindCollector(Collector):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def collect(self) -> Iterator[Metric]:
        size, age = self._loader.behind()
        yield GaugeMetricFamily("hybrid_loader_behind_bytes", "Bytes of the spool that are not loaded.", value=size)
        yield GaugeMetricFamily(
            "hybrid_loader_behind_seconds", "Age of the oldest segment not wholly loaded.", value=age
        )
        connected = float(self._loader.connected())
        yield GaugeMetricFamily("hybrid_loader_connected", "Whether the database answers.", value=connected)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
