"""An answer as it arrives: bytes to frames to events, and how long each may take."""

import asyncio
from typing import Protocol

from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from services.workers.vendor.frames import Frames
from services.workers.vendor.patience import Patience
from services.workers.vendor.upstream import Upstream

# How long an answer that is whole waits for its usage.
_USAGE_SECONDS = 5.0

Events = list[generation.GenerationEvent]


class Answer(Protocol):
    """What has come of one answer. The data of the vendor's events goes in, events of the contract come out."""

    @property
    def whole(self) -> bool:
        """Whether every choice has ended. Usage may still come."""

    @property
    def done(self) -> bool:
        """Whether the vendor has said its last."""

    def events(self, data: bytes) -> Events:
        """The events of one event of the vendor.

        Raises:
            Failure: what the vendor says of its own failure, or why it cannot be understood.
        """

    def finished(self) -> generation.GenerationEvent:
        """The last event.

        Raises:
            Failure: TRUNCATED, where a choice has not ended.
        """


class Stream:
    """The events of one answer."""

    def __init__(self, up: Upstream, answer: Answer) -> None:
        self._answer = answer
        self._up = up
        self._frames = Frames()
        self._failure: Failure | None = None
        self._ended = False
        self._loop = asyncio.get_running_loop()

    async def first(self, *, by: float) -> Events:
        """The first events there are; none where the answer is whole without a word.

        Raises:
            TimeoutError: when none has come by that moment.
            Failure: what the server says, or why it cannot be understood; TRUNCATED.
        """
        events = await self._more(by)
        if not events:
            self._answer.finished()  # not whole: told before anything is
        return events

    async def more(self, *, patience: Patience) -> Events:
        """The events that come next, as soon as there are any; none at the end.

        Raises:
            Failure: as above; DEADLINE_EXCEEDED, when the server says nothing for so long, or the whole answer takes
                too long. Comments say nothing.
        """
        now = self._loop.time()
        if patience.over(now=now) and not self._answer.whole:  # however fast it comes
            raise patience.without_end()
        by = patience.next_by(now=now)
        try:
            return await self._more(by)
        except TimeoutError:
            raise patience.without_next(by=by) from None

    async def _more(self, by: float) -> Events:
        while not self._ended:
            if self._failure is not None:
                raise self._failure
            if self._answer.whole:
                by = min(by, self._loop.time() + _USAGE_SECONDS)
            try:
                arrived = await self._up.read(by=by)
            except (Failure, TimeoutError):
                if not self._answer.whole:
                    raise
                arrived = b""  # all of the answer is there; its usage is not worth more
            events = self._events(arrived)
            if self._answer.done:
                await self._up.part()
            self._ended = self._answer.done or not arrived
            if events:
                return events
        return []

    def _events(self, arrived: bytes) -> Events:
        """The events of what has arrived. A failure among them waits until those before it are out."""
        events: Events = []
        try:
            for data in self._frames.feed(arrived):
                events += self._answer.events(data)
                if self._answer.done:
                    break
        except Failure as failure:
            if not events:
                raise
            self._failure = failure
        return events
