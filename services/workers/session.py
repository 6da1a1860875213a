"""All attempts of one gateway on one stream: who runs, what each may still send, and what is ready to go."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import structlog
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.worker.v1 import session_pb2 as session
from hybridinference.worker.v1 import worker_service_pb2 as worker

from services.chassis import status
from services.chassis import traceparent as w3c
from services.chassis.deadline import Deadline, to_seconds
from services.chassis.failure import Failure
from services.workers.execution import Executor
from services.workers.order import Order
from services.workers.outbox import Outbox
from services.workers.provider import AttemptContext

LOG = structlog.get_logger()

_DEFAULT_CREDIT_BYTES = 64 << 10

Write = Callable[[worker.SessionResponse], Awaitable[None]]


class Session:
    """One gateway's session. Attempts are independent: what one does wrong fails that one alone.

    Commands for an attempt that is not running are late, and ignored. So is a start with the id of one that runs:
    whatever was said about the second would be taken as said about the first.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._attempts: dict[str, _Attempt] = {}
        self._outbox = Outbox()
        self._wake = asyncio.Event()
        self._commands_ended = False

    async def serve(self, requests: AsyncIterator[worker.SessionRequest], write: Write) -> None:
        """Serve until the gateway has said its last and every attempt has ended, or the worker drains.

        Whatever is ready at one moment, for whichever attempts, goes out in one message.
        """
        with self._executor.watching_drain(self._wake.set):
            async with asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(self._read(requests, tasks))
                while not self._over():
                    await self._wake.wait()
                    self._wake.clear()
                    while self._outbox:
                        await write(self._outbox.take())
                    if self._commands_ended:  # no credit can come: what the transport has taken counts as read
                        for attempt in self._attempts.values():
                            attempt.replenish()
                reader.cancel()

    def _over(self) -> bool:
        idle = not self._attempts and not self._outbox
        return idle and (self._commands_ended or self._executor.draining)

    async def _read(self, requests: AsyncIterator[worker.SessionRequest], tasks: asyncio.TaskGroup) -> None:
        async for request in requests:
            for command in request.commands:
                kind = command.WhichOneof("command")
                if kind == "start":
                    self._start(command.start, tasks)
                elif kind == "cancel":
                    self._cancel(command.cancel.attempt_id)
                elif kind == "credit" and (attempt := self._attempts.get(command.credit.attempt_id)):
                    attempt.grant(command.credit.bytes)
        self._commands_ended = True
        self._wake.set()

    def _start(self, start: session.StartAttempt, tasks: asyncio.TaskGroup) -> None:
        if start.attempt_id in self._attempts:
            LOG.warning("session.attempt_id_reused", attempt_id=start.attempt_id)
            return
        context = AttemptContext(
            tenant=start.tenant, continuation=start.continuation if start.HasField("continuation") else None
        )
        attempt = _Attempt(start.attempt_id, context, start.credit_bytes or _DEFAULT_CREDIT_BYTES, self._send)
        self._attempts[start.attempt_id] = attempt
        tasks.create_task(self._run(start, attempt))

    async def _run(self, start: session.StartAttempt, attempt: "_Attempt") -> None:
        left = to_seconds(start.time_left) if start.HasField("time_left") else None
        order = Order(
            deadline=Deadline.after(left, now=asyncio.get_running_loop().time()),
            context=attempt.context,
            attempt_id=start.attempt_id,
            generation_id=start.generation_id,
            traceparent=w3c.accepted(start.traceparent),
            drop_unsupported=start.drop_unsupported,
            prefix_hashes=start.prefix_hashes,
        )
        try:
            with attempt.running():
                await self._executor.run(start.spec, attempt.emit, order)
        except Failure as failure:
            self._outbox.end(start.attempt_id, status.to_status(failure), attempt.context.tries)
        finally:
            del self._attempts[start.attempt_id]
            self._wake.set()

    def _cancel(self, attempt_id: str) -> None:
        attempt = self._attempts.get(attempt_id)
        if attempt is not None:
            attempt.cancel()

    def _send(self, attempt: "_Attempt", event: generation.GenerationEvent, size: int) -> None:
        tries = attempt.context.tries
        if tries and not event.HasField("finished"):  # looked at first, since it is once per token
            tries = []
        self._outbox.add(attempt.id, event, size, tries)
        self._wake.set()


class _Attempt:
    """One attempt's task and its window of credit."""

    __slots__ = ("_cancelled", "_credit", "_opened", "_send", "_task", "_window", "context", "id")

    def __init__(
        self,
        attempt_id: str,
        context: AttemptContext,
        credit: int,
        send: "Callable[[_Attempt, generation.GenerationEvent, int], None]",
    ) -> None:
        self.id = attempt_id
        self.context = context
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False
        self._credit = self._window = credit
        self._send = send
        self._opened: asyncio.Event | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """What runs inside ends with a Failure when the attempt is cancelled."""
        try:
            if self._cancelled:  # before it had begun
                raise asyncio.CancelledError
            self._task = asyncio.current_task()
            yield
        except asyncio.CancelledError:
            if not self._cancelled:  # not this attempt but the whole session ends
                raise
            raise Failure(reasons.ERROR_REASON_CANCELLED, "The gateway cancelled the attempt.") from None

    def cancel(self) -> None:
        """End the attempt. Once: a second cancellation would disturb the provider's cleaning up."""
        # A task that has not begun would never run at all if it were cancelled, and never say how it ended.
        if not self._cancelled and self._task is not None:
            self._task.cancel()
        self._cancelled = True

    def emit(self, event: generation.GenerationEvent) -> Awaitable[None] | None:
        """Send an event. With the window used up, what comes next waits for the reader."""
        size = event.ByteSize()
        self._send(self, event, size)
        self._credit -= size
        if self._credit > 0 or event.HasField("finished"):  # after the last one there is nothing to wait for
            return None
        self._opened = asyncio.Event()
        return self._until_open(self._opened)

    async def _until_open(self, opened: asyncio.Event) -> None:
        await opened.wait()

    def replenish(self) -> None:
        """Open the whole window."""
        self.grant(max(0, self._window - self._credit))

    def grant(self, size: int) -> None:
        """Open the window by so many bytes."""
        self._credit += size
        if self._opened is not None and self._credit > 0:
            self._opened.set()
            self._opened = None
