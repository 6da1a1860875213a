"""An answer as it arrives: bytes to frames to events, and how long each may take."""

import asyncio

from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from services.workers.openai import failures
from services.workers.openai.decode import Answer
from services.workers.openai.frames import Frames
from services.workers.openai.upstream import Upstream

# How long an answer that is whole waits for its usage.
_USAGE_SECONDS = 5.0

Events = list[generation.GenerationEvent]


class Stream:
    """The events of one answer."""

    def __init__(self, up: Upstream, answer: Answer) -> None:
        self.answer = answer
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
            self.answer.finished()  # not whole: told before anything is
        return events

    async def more(self, *, idle_seconds: float) -> Events:
        """The events that come next, as soon as there are any; none at the end.

        Raises:
            Failure: as above; DEADLINE_EXCEEDED, when the server says nothing for so long. Comments say nothing.
        """
        try:
            return await self._more(self._loop.time() + idle_seconds)
        except TimeoutError:
            raise failures.late("idle", idle_seconds) from None

    async def _more(self, by: float) -> Events:
        while not self._ended:
            if self._failure is not None:
                raise self._failure
            if self.answer.whole:
                by = min(by, self._loop.time() + _USAGE_SECONDS)
            try:
                arrived = await self._up.read(by=by)
            except (Failure, TimeoutError):
                if not self.answer.whole:
                    raise
                arrived = b""  # all of the answer is there; its usage is not worth more
            events = self._events(arrived)
            if self.answer.done:
                await self._up.part()
            self._ended = self.answer.done or not arrived
            if events:
                return events
        return []

    def _events(self, arrived: bytes) -> Events:
        """The events of what has arrived. A failure among them waits until those before it are out."""
        events: Events = []
        try:
            for data in self._frames.feed(arrived):
                events += self.answer.events(data)
                if self.answer.done:
                    break
        except Failure as failure:
            if not events:
                raise
            self._failure = failure
        return events
