"""The context of a run that is nobody's call: what it says goes into a transcript."""

from typing import Any

import grpc

from services.gateway.idempotency.transcript import Metadata, Transcript


class DetachedContext:
    """As much of a ServicerContext as the faces use. It outlives the call that it was made of.

    A write never waits: a reader that is slow holds up its own reading, not the run.
    """

    def __init__(self, call: "grpc.aio.ServicerContext[Any, Any]", transcript: Transcript, serialize: Any) -> None:
        self._metadata = tuple(call.invocation_metadata() or ())
        self._left = call.time_remaining()
        self._transcript = transcript
        self._serialize = serialize

    def invocation_metadata(self) -> Metadata:
        """What came with the call that began it."""
        return self._metadata

    def time_remaining(self) -> float | None:
        """The time that call had when it came, in seconds: asked once, as it comes. None is unbounded."""
        return self._left

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        """Headers of the answer."""
        self._transcript.begin(tuple(metadata))

    def set_trailing_metadata(self, metadata: Metadata) -> None:
        """Trailers of the answer."""
        self._transcript.trailers = tuple(metadata)

    def trailing_metadata(self) -> Metadata:
        """Trailers so far."""
        return self._transcript.trailers

    async def write(self, message: Any) -> None:
        """A message of the answer."""
        self._transcript.add(self._serialize(message))
