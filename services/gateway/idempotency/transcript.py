"""What a run has said, for everybody who asks for it."""

import asyncio
from collections.abc import AsyncIterator

Metadata = tuple[tuple[str, str | bytes], ...]

# What Python needs for a message beside its bytes, in bytes: the object and its place in the list.
_MESSAGE_BYTES = 48


class Transcript:
    """Headers, messages and the end of one run. Written by one task, read by any number at their own pace."""

    def __init__(self) -> None:
        self.headers: Metadata | None = None
        self.trailers: Metadata = ()
        self.bytes = 0  # what the messages take
        self.ended = False
        self.failure: Exception | None = None
        self._messages: list[bytes] = []
        self._news = asyncio.Event()

    def begin(self, headers: Metadata) -> None:
        """The headers are there."""
        self.headers = headers
        self._tell()

    def add(self, message: bytes) -> None:
        """Another message, serialized."""
        self._messages.append(message)
        self.bytes += _MESSAGE_BYTES + len(message)
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
