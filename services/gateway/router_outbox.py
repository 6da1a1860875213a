"""What a gateway has to say to its router, in order, with as few messages as can be."""

import asyncio
import contextlib
from typing import Any

from hybridinference.router.v1 import router_service_pb2 as router

# A message costs either side more than a decision does. So long may wait for another one's message what nobody waits
# for: far less than a worker's reports take, by which a router knows of those whom others placed.
MOMENT_SECONDS = 0.01


class RouterOutbox:
    """Commands that are to be sent on one Place stream, those of one moment together.

    Attributes:
        moment_seconds: how long something waits that was only mentioned.
        messages: number of messages that were written.
    """

    def __init__(self, *, moment_seconds: float = MOMENT_SECONDS) -> None:
        self.moment_seconds = moment_seconds
        self.messages = 0
        self._ready = router.PlaceRequest()
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._hasty = False

    def begin(self, hello: router.Hello) -> None:
        """A new stream begins with that. What was not sent is forgotten: it belonged to another one."""
        self._ready = router.PlaceRequest()
        self._hasty = False
        self.tell(router.PlaceCommand(hello=hello))

    def hurry(self, hasty: bool) -> None:
        """Whether what is mentioned is to be sent at once, since somebody waits for what it may bring about."""
        self._hasty = hasty
        if hasty:
            self._wake.set()

    def tell(self, command: router.PlaceCommand) -> None:
        """Send it at once, after all that was mentioned before."""
        self._ready.commands.append(command)
        self._wake.set()

    def mention(self, command: router.PlaceCommand) -> None:
        """Send it with what is told next, or after a moment."""
        self._ready.commands.append(command)
        if self._hasty:
            self._wake.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.moment_seconds, self._wake.set)

    async def write(self, call: Any) -> None:
        """Write on that stream until it is over, or for ever."""
        with contextlib.suppress(asyncio.InvalidStateError):  # the call is over; its reader says why
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._timer is not None:
                    self._timer.cancel()
                    self._timer = None
                ready, self._ready = self._ready, router.PlaceRequest()
                if ready.commands:
                    self.messages += 1
                    await call.write(ready)
