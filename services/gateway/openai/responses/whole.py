"""A response that is told at once."""

from collections.abc import Iterable

from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.openai.responses.response import Response, end


class Whole:
    """Takes events in order; `body` is what they amount to."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self._output = response.output()
        self._finished = generation.Finished()

    def take(self, events: Iterable[generation.GenerationEvent]) -> None:
        """Add events."""
        for event in events:
            if event.HasField("delta"):
                for _ in self._output.take(event.delta):
                    pass
            elif event.HasField("finished"):
                self._finished = event.finished

    def body(self, *, now: int) -> bytes:
        """The body of the answer.

        Raises:
            Failure: TRUNCATED, when the events do not say how it ended.
        """
        ended = end(self._finished)
        for _ in self._output.end(whole=ended.cut is None):
            pass
        return self._response.ended(self._output.items, ended, now=now)
