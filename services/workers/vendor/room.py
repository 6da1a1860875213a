"""How many requests of a worker are under way, and whether there is room for one more."""

import contextlib
from collections.abc import Iterator

from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure


class Room:
    """The places of a worker: `most` of them, or as many as are wanted where that is 0."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Take a place while the context lasts.

        Raises:
            Failure: WORKER_SATURATED, when there is none.
        """
        if self.most and self.taken >= self.most:
            raise Failure(reasons.ERROR_REASON_WORKER_SATURATED, "This worker is full.", retry_after=1.0)
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
