"""What came of one call to a worker."""

import dataclasses
from collections.abc import Sequence

from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure

Spec = generation.GenerationSpec | embedding.EmbeddingSpec


@dataclasses.dataclass(slots=True)
class Call:
    """A tool call, its pieces put together."""

    id: str = ""
    name: str = ""
    arguments: str = ""
    signature: bytes = b""


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What was asked, and what was seen: events or vectors, and perhaps a failure.

    Attributes:
        freed: where the caller left in the middle: whether the provider was free again in time.
    """

    spec: Spec
    events: Sequence[generation.GenerationEvent] = ()
    vectors: Sequence[Sequence[float]] = ()
    counted: generation.Usage | None = None
    failure: Failure | None = None
    freed: bool | None = None

    @property
    def deltas(self) -> list[generation.Delta]:
        """All pieces, of whichever choice."""
        return [event.delta for event in self.events if event.HasField("delta")]

    @property
    def finished(self) -> generation.Finished:
        """How it ended; empty where it did not."""
        return self.events[-1].finished if self.events else generation.Finished()

    @property
    def reasons(self) -> list[int]:
        """How each choice ended."""
        return list(self.finished.reasons)

    @property
    def usage(self) -> generation.Usage:
        """Tokens."""
        return self.counted or self.finished.usage

    def text(self, choice: int = 0) -> str:
        """The answer."""
        return "".join(delta.text for delta in self.deltas if delta.choice == choice)

    @property
    def reasoning(self) -> str:
        """The thinking."""
        return "".join(delta.reasoning for delta in self.deltas)

    @property
    def logprobs(self) -> list[generation.TokenLogprob]:
        """Log probabilities, position by position."""
        return [position for delta in self.deltas for position in delta.logprobs]

    @property
    def calls(self) -> list[Call]:
        """The tool calls, in order of their numbers."""
        calls: dict[int, Call] = {}
        for delta in self.deltas:
            for piece in delta.tool_calls:
                call = calls.setdefault(piece.index, Call())
                call.id += piece.id
                call.name += piece.name
                call.arguments += piece.arguments_json
                call.signature += piece.signature
        return [calls[index] for index in sorted(calls)]
