"""One attempt as its reader sees it: what has come, what may still come, and how it ended."""

import asyncio
from collections.abc import Callable

from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.worker.v1 import session_pb2 as session

from services.chassis import status
from services.chassis.failure import Failure

CREDIT_BYTES = 64 << 10

Command = Callable[[session.SessionCommand], None]


class Attempt:
    """An attempt on a session. `events` hands out whatever is there; the worker may run ahead by CREDIT_BYTES."""

    __slots__ = (
        "_command",
        "_failure",
        "_inbox",
        "_owed",
        "_over",
        "_wake",
        "begun",
        "failure",
        "heard_at",
        "id",
        "reader",
        "taken_at",
    )

    def __init__(self, attempt_id: str, command: Command, *, now: float) -> None:
        self.id = attempt_id
        self.begun = False  # whether the worker has been heard of at all
        self.heard_at = now
        self.taken_at = now
        self.reader = asyncio.current_task()
        self._command = command
        self._inbox: list[generation.GenerationEvent] = []
        self._owed = 0  # bytes taken by the reader that the worker has no new credit for
        self._over = False
        self.failure: Failure | None = None
        self._wake = asyncio.Event()

    @property
    def unread(self) -> bool:
        """Whether events wait for the reader."""
        return bool(self._inbox)

    @property
    def over(self) -> bool:
        """Whether the worker has said its last."""
        return self._over

    def deliver(self, item: session.AttemptEvent, *, now: float) -> None:
        """Take an event, or the end, from the session."""
        self.begun = True
        self.heard_at = now
        if item.HasField("status"):
            self.fail(status.from_status(item.status))
            return
        if item.generation.HasField("finished"):
            self._over = True
        self._inbox.append(item.generation)
        self._wake.set()

    def fail(self, failure: Failure) -> None:
        """End it, unless it has ended. What has come before is still handed out."""
        if not self._over:
            self._over = True
            self.failure = failure
            self._wake.set()

    async def events(self, *, now: Callable[[], float]) -> list[generation.GenerationEvent]:
        """All events that are there, after waiting for the first.

        Asking again means that the earlier ones have been passed on, which opens the window by their size.

        Raises:
            Failure: why the attempt failed, once its events have been handed out.
        """
        if self._owed >= CREDIT_BYTES // 2 and not self._over:
            self._command(session.SessionCommand(credit=session.GrantCredit(attempt_id=self.id, bytes=self._owed)))
            self._owed = 0
        while not self._inbox:
            if self.failure is not None:
                raise self.failure
            self._wake.clear()
            await self._wake.wait()
        ready, self._inbox = self._inbox, []
        self._owed += sum(event.ByteSize() for event in ready)
        self.taken_at = now()
        return ready
