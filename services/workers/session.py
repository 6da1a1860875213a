"""All attempts of one gateway on one stream: who runs, what each may still send, and what is ready to go."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from google.rpc import status_pb2

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.worker.v1 import session_pb2 as session
from hybridinference.worker.v1 import worker_service_pb2 as worker
from services.chassis import status
from services.chassis.deadline import Deadline, to_seconds
from services.chassis.failure import Failure
from services.workers.execution import Executor

_DEFAULT_CREDIT_BYTES = 64 << 10

Write = Callable[[worker.SessionResponse], Awaitable[None]]


class Session:
    """One gateway's session. Attempts are independent: what one does wrong fails that one alone."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._attempts: dict[str, _Attempt] = {}
        self._outbox = worker.SessionResponse()
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
                    if self._outbox.events:
                        ready, self._outbox = self._outbox, worker.SessionResponse()
                        await write(ready)
                reader.cancel()

    def _over(self) -> bool:
        idle = not self._attempts and not self._outbox.events
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
        attempt = _Attempt(start.attempt_id, start.credit_bytes or _DEFAULT_CREDIT_BYTES, self._send)
        self._attempts[start.attempt_id] = attempt
        attempt.task = tasks.create_task(self._run(start, attempt))

    async def _run(self, start: session.StartAttempt, attempt: "_Attempt") -> None:
        left = to_seconds(start.time_left) if start.HasField("time_left") else None
        deadline = Deadline.after(left, now=asyncio.get_running_loop().time())
        try:
            await self._executor.run(
                start.spec,
                attempt.emit,
                deadline=deadline,
                attempt_id=start.attempt_id,
                generation_id=start.generation_id,
            )
        except Failure as failure:
            self._end(start.attempt_id, status.to_status(failure))
        except asyncio.CancelledError:
            if not attempt.cancelled:  # not this attempt but the whole session ends
                raise
            gone = Failure(reasons.ERROR_REASON_CANCELLED, "The gateway cancelled the attempt.")
            self._end(start.attempt_id, status.to_status(gone))
        finally:
            del self._attempts[start.attempt_id]
            self._wake.set()

    def _cancel(self, attempt_id: str) -> None:
        attempt = self._attempts.get(attempt_id)
        if attempt is not None and attempt.task is not None:
            attempt.cancelled = True
            attempt.task.cancel()

    def _send(self, attempt_id: str, event: generation.GenerationEvent) -> None:
        item = self._outbox.events.add()
        item.attempt_id = attempt_id
        item.generation.CopyFrom(event)
        self._wake.set()

    def _end(self, attempt_id: str, why: status_pb2.Status) -> None:
        item = self._outbox.events.add()
        item.attempt_id = attempt_id
        item.status.CopyFrom(why)
        self._wake.set()


class _Attempt:
    """One attempt's task and its window of credit."""

    __slots__ = ("_credit", "_id", "_opened", "_send", "cancelled", "task")

    def __init__(self, attempt_id: str, credit: int, send: Callable[[str, generation.GenerationEvent], None]) -> None:
        self.task: asyncio.Task[None] | None = None
        self.cancelled = False
        self._id = attempt_id
        self._credit = credit
        self._send = send
        self._opened: asyncio.Event | None = None

    def emit(self, event: generation.GenerationEvent) -> Awaitable[None] | None:
        """Send an event. With the window used up, what comes next waits for the reader."""
        self._send(self._id, event)
        self._credit -= event.ByteSize()
        if self._credit > 0:
            return None
        self._opened = asyncio.Event()
        return self._until_open(self._opened)

    async def _until_open(self, opened: asyncio.Event) -> None:
        await opened.wait()

    def grant(self, size: int) -> None:
        self._credit += size
        if self._opened is not None and self._credit > 0:
            self._opened.set()
            self._opened = None
