"""What a run has said, for everybody who asks for it."""

import asyncio
from collections.abc import AsyncIterator, Callable

from services.chassis.failure import Failure

Metadata = tuple[tuple[str, str | bytes], ...]

# What Python needs for a message beside its bytes, in bytes: the object and its place in the list.
_MESSAGE_BYTES = 48
# Of an answer for which there is no more room: an error event, and what ends a stream.
_LAST_WORDS = 4


class Transcript:
    """Headers, messages and the end of one run. Written by one task, read by any number at their own pace."""

    def __init__(self, more: Callable[[int], None]) -> None:
        """`more` is told of each message's bytes before it is kept, and raises where there is no room for them."""
        self._more = more
        self._refusals = 0
        self.headers: Metadata | None = None
        self.trailers: Metadata = ()
        self.bytes = 0  # what was asked for
        self.ended = False
        self.failure: Exception | None = None
        self._messages: list[bytes] = []
        self._news = asyncio.Event()

    def begin(self, headers: Metadata) -> None:
        """The headers are there."""
        self.headers = headers
        self._tell()

    def add(self, message: bytes) -> None:
        """Another message, serialized.

        Raises:
            Failure: there is no room for it. A few more are kept all the same, since they tell of that.
        """
        size = _MESSAGE_BYTES + len(message)
        try:
            self._more(size)
        except Failure:
            self._refusals += 1
            if not 1 < self._refusals <= _LAST_WORDS:
                raise
        else:
            self.bytes += size
        self._messages.append(message)
        self._tell()

    def end(self, failure: Exception | None) -> None:
        """Nothing more will come; why, where it is not the whole answer. Only the first end counts."""
        if not self.ended:
            self.ended, self.failure = True, failure
            self._tell()

    async def begun(self) -> Metadata | None:
        """The headers, once there are some, a message, or the end."""
        while self.headers is None and not self._messages and not self.ended:
            await self._news.wait()
        return self.headers

    @property
    def said(self) -> bool:
        """Whether there is a message."""
        return bool(self._messages)

    async def messages(self) -> AsyncIterator[bytes]:
        """All messages from the first on, as they come.

        Raises:
            Exception: why there are no more.
        """
        position = 0
        while True:
            while position < len(self._messages):
                position += 1
                yield self._messages[position - 1]
            if self.ended:
                break
            await self._news.wait()
        if self.failure is not None:
            raise self.failure

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
