"""The grammar of a stream of events, checked as they pass: `started delta* finished`."""

import time

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure

# A larger event would not fit into a message, and on a session that ends everyone's attempts.
_LARGEST_EVENT_BYTES = 16 << 20


class Stream:
    """What has been seen of a stream of events, and whether it keeps to the grammar."""

    __slots__ = ("finished", "first_at", "provider_model", "started")

    def __init__(self) -> None:
        self.started = False
        self.first_at = 0.0
        self.provider_model = ""
        self.finished: generation.Finished | None = None

    def see(self, event: generation.GenerationEvent, *, provider: str) -> None:
        """Take note of an event.

        Raises:
            Failure: PROVIDER_MALFORMED, when it may not come now or could not travel.
        """
        kind = event.WhichOneof("event")
        if event.ByteSize() > _LARGEST_EVENT_BYTES:
            raise _malformed(f"an event of more than {_LARGEST_EVENT_BYTES >> 20} MiB", provider)
        if kind == "delta" and self.started:
            if not self.first_at:
                self.first_at = time.perf_counter()
        elif kind == "started" and not self.started:
            self.started = True
            self.provider_model = event.started.provider_model
        elif kind == "finished" and self.started:
            self.finished = event.finished
        else:
            raise _malformed(f"`{kind}` out of order", provider)


def _malformed(what: str, provider: str) -> Failure:
    return Failure(reasons.ERROR_REASON_PROVIDER_MALFORMED, f"The provider sent {what}.", provider=provider)
