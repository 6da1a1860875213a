"""What is ready to go on a session, in messages that are never too large to send."""

import collections
from collections.abc import Sequence

from google.rpc import status_pb2
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import provider_try_pb2 as provider_try
from hybridinference.worker.v1 import worker_service_pb2 as worker

# Far below gRPC's limit of 64 MiB, so that one more event always fits: an oversized message would end the session.
_FULL_BYTES = 4 << 20
_ENVELOPE_BYTES = 64

Tries = Sequence[provider_try.ProviderTry]


class Outbox:
    """Events of all attempts, in order. Whatever is there at one moment is one message, unless it is very much."""

    def __init__(self) -> None:
        self._full: collections.deque[worker.SessionResponse] = collections.deque()
        self._open = worker.SessionResponse()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._full or self._open.events)

    def add(self, attempt_id: str, event: generation.GenerationEvent, size: int, tries: Tries = ()) -> None:
        """Add an event of an attempt; `size` is its size in bytes. The last one comes with what was tried before."""
        self._room_for(size)
        item = self._open.events.add()
        item.attempt_id = attempt_id
        item.generation.CopyFrom(event)
        if tries:
            item.tries.extend(tries)

    def end(self, attempt_id: str, why: status_pb2.Status, tries: Tries = ()) -> None:
        """Add the status that ends an attempt."""
        self._room_for(why.ByteSize())
        item = self._open.events.add()
        item.attempt_id = attempt_id
        item.status.CopyFrom(why)
        item.tries.extend(tries)

    def take(self) -> worker.SessionResponse:
        """The next message to write. Only when there is one."""
        if self._full:
            return self._full.popleft()
        message, self._open, self._bytes = self._open, worker.SessionResponse(), 0
        return message

    def _room_for(self, size: int) -> None:
        if self._bytes and self._bytes + size > _FULL_BYTES:
            self._full.append(self._open)
            self._open, self._bytes = worker.SessionResponse(), 0
        self._bytes += size + _ENVELOPE_BYTES
