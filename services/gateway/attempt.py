"""One attempt as its reader sees it: what has come, what may still come, and how it ended."""

import asyncio
from collections.abc import Callable, Sequence

from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import provider_try_pb2 as provider_try
from hybridinference.worker.v1 import session_pb2 as session

from services.chassis import status
from services.chassis.failure import Failure

CREDIT_BYTES = 64 << 10

Command = Callable[[session.SessionCommand], None]


class Attempt:
    """An attempt on a session. `events` hands out whatever is there; the worker may run ahead by CREDIT_BYTES."""

    __slots__ = (
        "_command",
        "_inbox",
        "_loop",
        "_owed",
        "_reader",
        "_wake",
        "begun",
        "failure",
        "heard_at",
        "id",
        "over",
        "taken_at",
        "tries",
    )

    def __init__(self, attempt_id: str, command: Command, *, now: float) -> None:
        self.id = attempt_id
        self.begun = False  # whether the worker has been heard of at all
        self.heard_at = now
        self.over = False  # whether the worker has said its last, or was told that nobody listens
        self.taken_at: float | None = None  # when the reader took what it is still passing on; None while it waits
        self.tries: Sequence[provider_try.ProviderTry] = ()  # what the worker asked of its provider in vain
        self._reader = asyncio.current_task()
        self._command = command
        self._inbox: list[generation.GenerationEvent] = []
        self._owed = 0  # bytes taken by the reader that the worker has no new credit for
        self.failure: Failure | None = None
        self._loop = asyncio.get_running_loop()
        self._wake: asyncio.Future[None] | None = None  # one for each token: an Event costs three times as much

    def deliver(self, item: session.AttemptEvent, *, now: float) -> None:
        """Take an event, or the end, from the session."""
        self.begun = True
        self.heard_at = now
        if item.HasField("status"):
            self.tries = item.tries
            self.fail(status.from_status(item.status))
            self.over = True
            return
        event = item.generation
        if event.HasField("finished"):
            self.over = True
            self.tries = item.tries
        if self.failure is None:
            self._inbox.append(event)
            self._wake_reader()

    def fail(self, failure: Failure) -> None:
        """End it for the reader, unless it has ended. What has come before is still handed out."""
        if not self.over and self.failure is None:
            self.failure = failure
            self._wake_reader()

    def evict(self, failure: Failure) -> None:
        """Make the reader go away, which is stuck in passing on what it took."""
        self.failure = failure
        self.taken_at = None  # once: a second cancellation would disturb its cleaning up
        if self._reader is not None:
            self._reader.cancel(failure)

    async def events(self, *, now: Callable[[], float]) -> list[generation.GenerationEvent]:
        """All events that are there, after waiting for the first.

        Asking again means that the earlier ones have been passed on, which opens the window by their size.

        Raises:
            Failure: why the attempt failed, once its events have been handed out.
        """
        self.taken_at = None
        if self._owed >= CREDIT_BYTES // 2 and not self.over:
            self._command(session.SessionCommand(credit=session.GrantCredit(attempt_id=self.id, bytes=self._owed)))
            self._owed = 0
            self.heard_at = now()  # it may have been silent for want of credit
        while not self._inbox:
            if self.failure is not None:
                raise self.failure
            self._wake = self._loop.create_future()
            await self._wake
        ready, self._inbox = self._inbox, []
        self._owed += sum([event.ByteSize() for event in ready])
        self.taken_at = now()
        return ready

    def _wake_reader(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
