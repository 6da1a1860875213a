"""One stream to each worker, which carries every attempt there."""

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import structlog
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.worker.v1 import session_pb2 as session
from hybridinference.worker.v1 import worker_service_pb2 as worker
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from services.chassis.beat import beat
from services.chassis.channel import open_channel
from services.chassis.credentials import Credentials
from services.chassis.failure import Failure
from services.gateway.attempt import CREDIT_BYTES, Attempt

LOG = structlog.get_logger()

# One message over gRPC's limit of 64 MiB would end the whole session and everyone on it: what is too large is refused
# before it is written, and what comes together is not joined into a message without bounds.
_MAX_START_BYTES = 60 << 20
_FULL_BYTES = 4 << 20
_SMALL_BYTES = 128  # more than any other command
_SWEEP_SECONDS = 1.0
# When a reader is given up for good. By then the edge has reset what came through it: a client behind it that reads on
# would otherwise take the end of its stream for the end of the answer.
_FORSAKEN_SECONDS = 3600.0


class WorkerSession:
    """A session that is open, or has broken for good. Not reopened: the next attempt opens another."""

    def __init__(self, address: str, credentials: Credentials | None = None) -> None:
        self.address = address
        self._credentials = credentials
        self.open = True
        self._outbox: collections.deque[worker.SessionRequest] = collections.deque()
        self._last_bytes = 0
        self._wake = asyncio.Event()
        self._attempts: dict[str, Attempt] = {}

    @contextlib.contextmanager
    def attempt(self, start: session.StartAttempt) -> Iterator[Attempt]:
        """Run an attempt while the context lasts; leaving it early cancels the attempt.

        Raises:
            Failure: REQUEST_TOO_LARGE, before anything is sent.
        """
        size = start.ByteSize()
        if size > _MAX_START_BYTES:
            raise Failure(
                reasons.ERROR_REASON_REQUEST_TOO_LARGE,
                f"The request is larger than {_MAX_START_BYTES >> 20} MiB.",
                limit_bytes=str(_MAX_START_BYTES),
            )
        start.credit_bytes = CREDIT_BYTES
        attempt = Attempt(start.attempt_id, self._command, now=asyncio.get_running_loop().time())
        self._attempts[attempt.id] = attempt
        self._command(session.SessionCommand(start=start), size + _SMALL_BYTES)
        try:
            yield attempt
        finally:
            del self._attempts[attempt.id]
            self._cancel(attempt)

    async def run(self) -> None:
        """Carry commands and events until the worker ends the stream or it breaks."""
        why = "ended the session"
        async with open_channel(self.address, "worker", self._credentials) as channel:
            call = worker_grpc.WorkerServiceStub(channel).Session()
            try:
                async with asyncio.TaskGroup() as tasks:
                    writer = tasks.create_task(self._write(call))
                    await self._read(call)
                    writer.cancel()
            except* grpc.aio.AioRpcError as broken:
                error = broken.exceptions[0]
                assert isinstance(error, grpc.aio.AioRpcError)
                why = f"cannot be reached ({error.code().name})"
            except* Exception as crashed:  # one worker's nonsense must not end the gateway
                why = "broke the session"
                LOG.error("session.crashed", address=self.address, exc_info=crashed)
            finally:
                self.open = False
                call.cancel()
                for attempt in self._attempts.values():
                    attempt.fail(_lost(self.address, why))

    def sweep(self, *, now: float, idle_seconds: float, slow_reader_seconds: float) -> None:
        """Fail attempts whose worker has fallen silent, or whose reader does not read."""
        for attempt in self._attempts.values():
            if attempt.taken_at is None:
                if attempt.begun and now - attempt.heard_at > idle_seconds:
                    attempt.fail(
                        Failure(
                            reasons.ERROR_REASON_DEADLINE_EXCEEDED,
                            f"The worker sent nothing for {idle_seconds:g} seconds.",
                            stage="idle",
                        )
                    )
                continue
            slow = Failure(reasons.ERROR_REASON_SLOW_CONSUMER, "The answer was not read for too long.")
            stuck = now - attempt.taken_at
            if stuck > _FORSAKEN_SECONDS:
                attempt.evict(slow)
            elif stuck > slow_reader_seconds and not attempt.over:
                # The worker is free at once. The reader hears of it when it comes back: it cannot be told before.
                LOG.warning("attempt.slow_reader", attempt_id=attempt.id)
                attempt.fail(slow)
                self._cancel(attempt)

    def interrupt(self, failure: Failure) -> None:
        """Fail every attempt."""
        for attempt in self._attempts.values():
            attempt.fail(failure)

    def _cancel(self, attempt: Attempt) -> None:
        """Tell the worker to stop, once, and unless it has."""
        if not attempt.over:
            attempt.over = True
            self._command(session.SessionCommand(cancel=session.CancelAttempt(attempt_id=attempt.id)))

    def _command(self, command: session.SessionCommand, size: int = _SMALL_BYTES) -> None:
        if not self.open:
            return
        if not self._outbox or self._last_bytes + size > _FULL_BYTES:
            self._outbox.append(worker.SessionRequest())
            self._last_bytes = 0
        self._outbox[-1].commands.append(command)
        self._last_bytes += size
        self._wake.set()

    async def _write(self, call: Any) -> None:
        with contextlib.suppress(asyncio.InvalidStateError):  # the call is over; the reader says why
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._outbox:
                    await call.write(self._outbox.popleft())

    async def _read(self, call: Any) -> None:
        loop = asyncio.get_running_loop()
        while (response := await call.read()) is not grpc.aio.EOF:
            now = loop.time()
            for item in response.events:
                attempt = self._attempts.get(item.attempt_id)
                if attempt is not None:  # else: a late word of an attempt that is over here
                    attempt.deliver(item, now=now)
        code = await call.code()
        if code is not grpc.StatusCode.OK:
            raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), await call.details())


class Sessions:
    """The open sessions, one per worker address."""

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        credentials: Credentials | None = None,
        *,
        idle_seconds: float,
        slow_reader_seconds: float,
    ) -> None:
        self._tasks = tasks
        self._credentials = credentials
        self.reconfigure(idle_seconds=idle_seconds, slow_reader_seconds=slow_reader_seconds)
        self._sessions: dict[str, WorkerSession] = {}
        self._interrupted: Failure | None = None
        self._running: set[asyncio.Task[None]] = set()

    def reconfigure(self, *, idle_seconds: float, slow_reader_seconds: float) -> None:
        """How long a worker may be silent, and a reader may not read."""
        self._idle_seconds = idle_seconds
        self._slow_reader_seconds = slow_reader_seconds

    def to(self, address: str) -> WorkerSession:
        """The session to a worker; opened when there is none.

        Raises:
            Failure: the gateway stops.
        """
        if self._interrupted is not None:
            raise self._interrupted
        current = self._sessions.get(address)
        if current is None or not current.open:
            current = self._sessions[address] = WorkerSession(address, self._credentials)
            task = self._tasks.create_task(current.run())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return current

    def interrupt(self) -> None:
        """The gateway stops: fail every attempt, so that callers are told, and begin no other."""
        self._interrupted = stopping()
        for one in self._sessions.values():
            one.interrupt(self._interrupted)

    def close(self) -> None:
        """End every session."""
        for task in self._running:
            task.cancel()

    async def sweep(self) -> None:
        """Once a second, for ever: find silent workers and readers that do not read."""
        loop = asyncio.get_running_loop()
        while True:
            await beat(_SWEEP_SECONDS)
            for one in self._sessions.values():
                one.sweep(
                    now=loop.time(),
                    idle_seconds=self._idle_seconds,
                    slow_reader_seconds=self._slow_reader_seconds,
                )


@contextlib.asynccontextmanager
async def open_sessions(
    credentials: Credentials | None = None, *, idle_seconds: float, slow_reader_seconds: float
) -> AsyncIterator[Sessions]:
    """The sessions of a gateway. Leaving the context ends them, and every attempt on them."""
    async with asyncio.TaskGroup() as tasks:
        sessions = Sessions(tasks, credentials, idle_seconds=idle_seconds, slow_reader_seconds=slow_reader_seconds)
        sweeper = tasks.create_task(sessions.sweep())
        try:
            yield sessions
        finally:
            sweeper.cancel()
            sessions.close()


def _lost(address: str, why: str) -> Failure:
    return Failure(reasons.ERROR_REASON_WORKER_LOST, f"The worker at {address} {why}.")


def stopping() -> Failure:
    """What callers are told whose answers a stop of the gateway interrupts."""
    return Failure(
        reasons.ERROR_REASON_STREAM_INTERRUPTED,
        "The gateway stops before the answer is whole.",
        retry_after=1.0,
        stage="gateway",
    )
