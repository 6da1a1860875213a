"""How long there is: deadlines, handed on explicitly because grpc.aio does not propagate them."""

import dataclasses

from google.protobuf import duration_pb2


@dataclasses.dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the event loop's clock, in seconds; None is never."""

    at: float | None

    @classmethod
    def after(cls, seconds: float | None, *, now: float) -> "Deadline":
        """The deadline `seconds` from now; None is never."""
        return cls(None if seconds is None else now + seconds)

    def left(self, *, now: float) -> float | None:
        """Seconds left, not below 0; None is unbounded."""
        return None if self.at is None else max(0.0, self.at - now)

    def earlier(self, seconds: float, *, now: float) -> "Deadline":
        """This deadline, or the one `seconds` from now where that comes first."""
        bound = now + seconds
        return Deadline(bound if self.at is None else min(self.at, bound))


def to_duration(seconds: float) -> duration_pb2.Duration:
    """Seconds as a protobuf Duration."""
    whole, nanos = divmod(round(seconds * 1e9), 10**9)
    return duration_pb2.Duration(seconds=whole, nanos=nanos)


def to_seconds(duration: duration_pb2.Duration) -> float:
    """A protobuf Duration as seconds."""
    return duration.seconds + duration.nanos / 1e9
