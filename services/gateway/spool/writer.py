"""The thread that puts records on disk, so that the event loop never waits for it."""

import collections
import contextlib
import dataclasses
import math
import pathlib
import threading
import time
from collections.abc import Callable

import structlog

from services.gateway.spool.framing import frame
from services.gateway.spool.segments import SegmentFile, segments

LOG = structlog.get_logger()


@dataclasses.dataclass(frozen=True, slots=True)
class WritePolicy:
    """When to write, sync and begin a new segment."""

    # A disk does some hundred syncs a second; one each 20 ms leaves it to others, and adds little to an answer's end.
    group_seconds: float = 0.020
    # While somebody waits for it.
    awaited_seconds: float = 0.005
    group_bytes: int = 256 << 10
    segment_bytes: int = 8 << 20
    # So that a quiet spool also empties, and the age of its oldest segment tells how far the loader is behind.
    segment_seconds: float = 60.0
    retry_seconds: float = 1.0
    # What the loader has left is looked at so often while something is written, or has been refused lately, and else.
    survey_seconds: float = 1.0
    lately_seconds: float = 10.0
    calm_survey_seconds: float = 5.0


class SpoolWriter:
    """Writes what is put, in order. Counters are written by one thread each and may be read by any."""

    def __init__(self, directory: pathlib.Path, policy: WritePolicy, on_change: Callable[[], None]) -> None:
        self.put_records = self.put_bytes = 0  # by the thread that calls `put`
        self.durable_records = self.durable_bytes = self.syncs = self.errors = 0  # by the writing thread
        self.disk_bytes = 0
        self.oldest: float | None = None  # when the oldest segment was begun, seconds since the epoch
        self.failing: OSError | None = None
        self._directory = directory
        self._policy = policy
        self._on_change = on_change
        self._queue: collections.deque[bytes] = collections.deque()
        self._work, self._full, self._closing = threading.Event(), threading.Event(), threading.Event()
        self._awaited = False
        self._segment: SegmentFile | None = None
        self._surveyed = 0.0
        self._wanted_at = -math.inf  # when room was last wanted in vain
        self._survey(time.monotonic())
        # A daemon: a disk that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def put(self, payload: bytes) -> None:
        """Queue a record. Never blocks."""
        self._queue.append(payload)
        self.put_records += 1
        self.put_bytes += len(payload)
        if not self._work.is_set():
            self._work.set()
        if self.put_bytes - self.durable_bytes >= self._policy.group_bytes and not self._full.is_set():
            self._full.set()

    def hurry(self) -> None:
        """Somebody waits for what is queued."""
        self._awaited = True
        if not self._full.is_set():
            self._full.set()

    def want_room(self) -> None:
        """Somebody is refused for want of it: see soon, and again and again for a while, whether there is some."""
        now = time.monotonic()
        if now - self._wanted_at >= self._policy.survey_seconds:
            self._wanted_at = now
            self._work.set()

    def close(self, *, seconds: float) -> None:
        """Write what is queued and end the thread, waiting up to `seconds`."""
        self._closing.set()
        self._full.set()
        self._work.set()
        self._thread.join(seconds)
        if left := self.put_records - self.durable_records:
            _say(LOG.error, "spool.records_lost", records=left, error=str(self.failing))

    def _run(self) -> None:
        synced = 0.0
        while True:
            self._work.wait(self._pause(time.monotonic()) if self.disk_bytes else None)
            if self._queue:
                # At once when idle; under load what comes within the interval shares one sync.
                self._full.wait(max(0.0, synced + self._policy.group_seconds - time.monotonic()))
                if self._awaited:
                    time.sleep(max(0.0, synced + self._policy.awaited_seconds - time.monotonic()))
            # Cleared before the queue is read: what is put from here on sets them again.
            self._work.clear()
            self._full.clear()
            self._awaited = False
            if batch := self._batch():
                synced = time.monotonic()
                if not self._written(batch):
                    break
                self._on_change()
            if self._closing.is_set() and not self._queue:
                break
            self._keep(time.monotonic())
        self._end_segment()

    def _pause(self, now: float) -> float:
        """Seconds until the next survey, if nothing is put before."""
        lately = now - self._wanted_at < self._policy.lately_seconds
        return self._policy.survey_seconds if lately else self._policy.calm_survey_seconds

    def _batch(self) -> list[bytes]:
        batch: list[bytes] = []
        size = 0
        while self._queue and size < self._policy.group_bytes:
            batch.append(self._queue.popleft())
            size += len(batch[-1])
        if self._queue or self._closing.is_set():
            self._work.set()
            self._full.set()
        return batch

    def _written(self, batch: list[bytes]) -> bool:
        """Write a batch, trying until it is on disk. False when the spool closes before that."""
        data = b"".join(map(frame, batch))
        while (error := self._attempt(data)) is not None:
            self.errors += 1
            first, self.failing = self.failing is None, error
            self._abandon_segment()
            self._on_change()
            if first:
                _say(LOG.error, "spool.failing", error=str(error))
            if self._closing.wait(self._policy.retry_seconds):
                if (error := self._attempt(data)) is not None:
                    self._abandon_segment()
                    return False
                break
        if self.failing is not None:
            self.failing = None
            _say(LOG.info, "spool.recovered")
        self.syncs += 1
        self.durable_records += len(batch)
        self.durable_bytes += sum(map(len, batch))
        self.disk_bytes += len(data)
        return True

    def _attempt(self, data: bytes) -> OSError | None:
        try:
            if self._segment is None:
                self._segment = SegmentFile.begun(self._directory)
                self.oldest = self.oldest or time.time()
            self._segment.append(data)
        except OSError as error:
            return error
        return None

    def _keep(self, now: float) -> None:
        """Close a segment that is full or old, and look at what the loader has left, once in a while."""
        if self._segment and (
            self._segment.size >= self._policy.segment_bytes
            or now - self._segment.begun_at >= self._policy.segment_seconds
        ):
            self._end_segment()
        if now - self._surveyed >= self._policy.survey_seconds:
            self._survey(now)

    def _survey(self, now: float) -> None:
        with contextlib.suppress(OSError):  # a disk that fails is told of when it is written
            found = segments(self._directory)
            self.disk_bytes = sum(segment.size for segment in found)
            self.oldest = found[0].created() if found else None
        self._surveyed = now

    def _end_segment(self) -> None:
        if self._segment is not None:
            with contextlib.suppress(OSError):  # its records are safe; the next start closes it
                self._segment.close()
            self._segment = None

    def _abandon_segment(self) -> None:
        """After an error: what is not known to be on disk is taken back, and written again to a new segment.

        A sync that failed must not be tried again on the same file: the kernel may have dropped the pages.
        """
        if self._segment is not None:
            with contextlib.suppress(OSError):
                self._segment.take_back()
        self._end_segment()


def _say(log: Callable[..., object], event: str, **fields: object) -> None:
    # The log may be a file on the very disk that is full; that must not end the thread.
    with contextlib.suppress(OSError):
        log(event, **fields)
