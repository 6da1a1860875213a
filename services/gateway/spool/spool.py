"""The spool: ledger records on this host's disk, safe before PostgreSQL has them."""

import asyncio
import collections
import contextlib
import os
import pathlib
import time
from collections.abc import AsyncIterator, Iterator

from hybridinference.gateway.v1 import ledger_pb2
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from services.chassis import declared
from services.chassis.failure import Failure
from services.gateway.spool.framing import MAX_PAYLOAD_BYTES
from services.gateway.spool.limits import Limits
from services.gateway.spool.open_requests import Left, OpenRequest, OpenRequests
from services.gateway.spool.segments import ID_FILE, close_left_open, identified, lock
from services.gateway.spool.writer import SpoolWriter, WritePolicy

# What may wait for a disk that is slow or gone, before requests are refused.
_MAX_BUFFERED_BYTES = 32 << 20
# The loader frees a segment at a time, and a failed write is tried again each second.
_RETRY_AFTER_SECONDS = 5.0
# A disk that has not taken a record by then neither works nor fails.
_SYNC_SECONDS = 10.0

RECORDS = declared.Counter("hybrid_spool_records_total", "Records taken.")
SYNCS = declared.Counter("hybrid_spool_syncs_total", "Groups of records put on disk.")
WRITE_ERRORS = declared.Counter("hybrid_spool_write_errors_total", "Writes that failed.")
BYTES = declared.Gauge("hybrid_spool_bytes", "Bytes on disk that are not loaded.")
MAX_BYTES = declared.Gauge("hybrid_spool_max_bytes", "Bytes at which strict keys are refused.")
OLDEST = declared.Gauge("hybrid_spool_oldest_seconds", "Age of the oldest segment not loaded.")
UNWRITTEN = declared.Gauge("hybrid_spool_unwritten_records", "Records taken and not on disk.")
SHED = declared.Counter("hybrid_spool_content_shed_total", "Contents left out for want of room.")
OPEN = declared.Gauge("hybrid_spool_open_requests", "Requests whose end is not on disk.")
ABANDONED = declared.Counter(
    "hybrid_spool_abandoned_total", "Requests that an earlier process left under way, recorded at this one's start."
)


class Spool:
    """Takes records from the event loop, which it never blocks; a thread makes them durable."""

    def __init__(
        self,
        directory: pathlib.Path,
        open_requests: OpenRequests,
        left: list[Left],
        *,
        spool_id: str,
        max_bytes: int,
        policy: WritePolicy,
    ) -> None:
        self.spool_id = spool_id
        self.left = left  # what an earlier process left under way, for whoever takes it over; closed by `append`
        self._limits = Limits(max_bytes)
        self._open = open_requests
        self._shed = self._abandoned = 0
        # Requests whose records wait for the disk, in that order.
        self._ended: collections.deque[tuple[int, OpenRequest]] = collections.deque()
        self._loop = asyncio.get_running_loop()
        # In the order of the records they wait for.
        self._waiters: collections.deque[tuple[int, asyncio.Future[None]]] = collections.deque()
        self._writer = SpoolWriter(directory, policy, self._changed)

    @property
    def alive(self) -> bool:
        """Whether the thread that writes it runs. A disk that fails or hangs is no end of that."""
        return self._writer.alive

    def opened(self, request: ledger_pb2.RequestRecord) -> OpenRequest:
        """A request is accepted: whatever becomes of this process from here on, it will have a record.

        Raises:
            Failure: ACCOUNTING_UNAVAILABLE where that cannot be promised.
        """
        self._close_durable()
        try:
            return self._open.begin(request)
        except OSError as error:
            raise _unavailable("the spool cannot be written") from error

    def append(self, record: ledger_pb2.LedgerRecord, *, ends: OpenRequest | None = None) -> None:
        """Take a record. It is durable a moment later: see `flushed`.

        Args:
            record: a whole request.
            ends: the open request that it is the end of; closed once the record is on disk, and not before.

        Raises:
            ValueError: the record is larger than any request could make it.
        """
        payload = record.SerializeToString()
        self._put(payload)
        if ends is not None:
            self._close_durable()
            ends.ended(payload)
            self._ended.append((self._writer.put_records, ends))

    def append_content(self, content: ledger_pb2.ContentRecord, *, strict: bool) -> bool:
        """Take what was said in a generation, unless the spool has no room for that. Whether it was taken.

        Raises:
            ValueError: it is larger than any request could make it.
        """
        writer = self._writer
        waiting = writer.put_bytes - writer.durable_bytes
        full = self._limits.sheds(writer.disk_bytes, strict=strict)
        if full:
            writer.want_room()
        if full or writer.failing or waiting > _MAX_BUFFERED_BYTES // 2:
            self._shed += 1
            return False
        self._put(ledger_pb2.LedgerRecord(content=content).SerializeToString())
        return True

    def append_prices(self, table: ledger_pb2.PriceTable) -> None:
        """Take the price table that requests name from here on."""
        self._put(ledger_pb2.LedgerRecord(prices=table).SerializeToString())

    def append_abandoned(self, record: ledger_pb2.LedgerRecord, *, ends: OpenRequest) -> None:
        """Take the record of a request that an earlier process left under way."""
        self._abandoned += 1
        self.append(record, ends=ends)

    async def flushed(self, *, seconds: float = _SYNC_SECONDS) -> None:
        """Wait until every record taken so far is on disk.

        Raises:
            Failure: ACCOUNTING_UNAVAILABLE when they cannot be written now. They are still kept, and tried again.
        """
        writer, target = self._writer, self._writer.put_records
        if writer.durable_records >= target:
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append((target, waiter))
        writer.hurry()
        self._settle()  # it may have become durable before the writer could see the waiter
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError as error:
            raise _unavailable("the spool's disk does not answer") from error

    def check(self, *, strict: bool) -> None:
        """Refuse when a further request could not be accounted for. Costs less than a microsecond.

        Args:
            strict: whether the request's key is; others go on where the spool is full, up to a reserve.

        Raises:
            Failure: ACCOUNTING_UNAVAILABLE, with when to come back.
        """
        writer = self._writer
        if writer.failing is not None or not writer.alive:
            raise _unavailable("the spool cannot be written")
        if writer.put_bytes - writer.durable_bytes > _MAX_BUFFERED_BYTES:
            raise _unavailable("the spool's disk does not keep up")
        if self._limits.refuses(writer.disk_bytes, strict=strict):
            writer.want_room()
            raise _unavailable("the spool is full; the ledger's database has not been answering")

    async def close(self, *, seconds: float) -> None:
        """Write what is left, for up to `seconds`."""
        await asyncio.to_thread(self._writer.close, seconds=seconds)
        self._settle()
        self._close_durable()
        self._open.close()

    def metrics(self) -> Iterator[Metric]:
        """What there is to tell, read when it is asked for: an append pays nothing."""
        writer = self._writer
        age = max(0.0, time.time() - writer.oldest) if writer.oldest is not None else 0.0
        waiting = writer.put_records - writer.durable_records
        yield RECORDS.now(writer.put_records)
        yield SYNCS.now(writer.syncs)
        yield WRITE_ERRORS.now(writer.errors)
        yield BYTES.now(writer.disk_bytes)
        yield MAX_BYTES.now(self._limits.max_bytes)
        yield OLDEST.now(age)
        yield UNWRITTEN.now(waiting)
        yield SHED.now(self._shed)
        # Those that are on disk are closed with the next request.
        yield OPEN.now(self._open.count - max(0, len(self._ended) - waiting))
        yield ABANDONED.now(self._abandoned)

    def _put(self, payload: bytes) -> None:
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise ValueError(f"a ledger record of {len(payload)} bytes; at most {MAX_PAYLOAD_BYTES} can be read back")
        self._writer.put(payload)

    def _close_durable(self) -> None:
        durable = self._writer.durable_records
        while self._ended and self._ended[0][0] <= durable:
            self._ended.popleft()[1].close()

    def _changed(self) -> None:
        if self._waiters:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        durable = self._writer.durable_records
        while self._waiters and self._waiters[0][0] <= durable:
            _, waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
        if self._writer.failing is not None or not self._writer.alive:
            while self._waiters:
                _, waiter = self._waiters.popleft()
                if not waiter.done():
                    waiter.set_exception(_unavailable("the spool cannot be written"))


class _SpoolCollector(Collector):
    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def collect(self) -> Iterator[Metric]:
        return self._spool.metrics()


@contextlib.asynccontextmanager
async def open_spool(
    directory: pathlib.Path,
    *,
    registry: CollectorRegistry,
    max_bytes: int = 1 << 30,
    close_seconds: float = 10.0,
    policy: WritePolicy | None = None,
) -> AsyncIterator[Spool]:
    """Open a spool for writing, alone; on leaving, write what is left.

    Args:
        directory: where it is; made if it is not there.
        registry: where its metrics go.
        max_bytes: size on disk from which `check` refuses strict keys.
        close_seconds: how long leaving may take.
        policy: when to sync and begin segments; for tests.

    Raises:
        SpoolTaken: another process writes this spool.
        OSError: the directory cannot be used.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = lock(directory / ID_FILE, role="gateway")
    try:
        spool_id = identified(descriptor)
        close_left_open(directory)
        open_requests = OpenRequests(directory)
        left = open_requests.left()
        spool = Spool(
            directory, open_requests, left, spool_id=spool_id, max_bytes=max_bytes, policy=policy or WritePolicy()
        )
        collector = _SpoolCollector(spool)
        registry.register(collector)
        try:
            yield spool
        finally:
            registry.unregister(collector)
            await spool.close(seconds=close_seconds)
    finally:
        os.close(descriptor)


def _unavailable(message: str) -> Failure:
    return Failure(reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE, message, retry_after=_RETRY_AFTER_SECONDS)
