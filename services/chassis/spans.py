"""Spans: what a process did for a request, when, below what. Made here, sent elsewhere."""

import dataclasses
import enum
from collections.abc import Callable, Sequence

from services.chassis import traceparent as w3c

Value = str | bool | int | float | Sequence[str]


class Kind(enum.Enum):
    """Whose work it is: done for another process, or asked of one."""

    SERVER = "server"
    CLIENT = "client"


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at one moment of a span, in nanoseconds since 1970."""

    name: str
    at_ns: int
    attributes: dict[str, Value]


@dataclasses.dataclass(slots=True)
class Span:
    """One span, while it lasts and after. Never words of a caller or of an answer.

    Attributes:
        traceparent: names it, for those below it.
        parent: the id of the span above it, 16 hexadecimal digits; "" where the trace begins with it.
        began_ns: when it began, in nanoseconds since 1970; `ended_ns` likewise, 0 while it lasts.
        links: the traceparents of spans that it follows, or runs beside.
        failed: whether what it did went wrong.
    """

    name: str
    kind: Kind
    traceparent: str
    parent: str
    began_ns: int
    attributes: dict[str, Value]
    links: tuple[str, ...] = ()
    events: list[Event] = dataclasses.field(default_factory=list)
    ended_ns: int = 0
    failed: bool = False


class Tracer:
    """Makes spans. Those of traces that are not kept are never made: see `services.chassis.traceparent.sampled`."""

    def __init__(
        self,
        emit: Callable[[Span], None],
        *,
        randomness: Callable[[int], bytes],
        clock_ns: Callable[[], int],
    ) -> None:
        """`emit` takes a span that has ended, and must not block; `clock_ns` gives nanoseconds since 1970."""
        self._emit = emit
        self._randomness = randomness
        self.clock_ns = clock_ns

    def root(self, name: str, kind: Kind, traceparent: str, **attributes: Value) -> Span:
        """The span with which a trace begins, and which its traceparent names already."""
        return Span(name, kind, traceparent, "", self.clock_ns(), attributes)

    def below(self, parent: str, name: str, kind: Kind, *, links: tuple[str, ...] = ()) -> Span:
        """A span below the one that a traceparent names."""
        mine = w3c.child(parent, self._randomness(8))
        return Span(name, kind, mine, w3c.span_id(parent), self.clock_ns(), {}, links)

    def end(self, span: Span, *, error: str = "", failed: bool | None = None) -> None:
        """A span is over. Once: a second end is none.

        Args:
            span: what is over.
            error: why it failed, one of few words; "" where it did not.
            failed: whether that is anybody's fault; default: any error is.
        """
        if span.ended_ns:
            return
        span.ended_ns = self.clock_ns()
        if error:
            span.attributes["error.type"] = error
        span.failed = bool(error) if failed is None else failed
        self._emit(span)
