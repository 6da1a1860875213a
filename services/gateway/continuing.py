"""What another replica needs to go on with an answer that broke off: the tokens and the text that were delivered."""

import array
from collections.abc import Sequence

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.worker.v1 import session_pb2 as session

from services.chassis.failure import Failure

# What is kept of one answer; a longer one is not gone on with.
_MOST_TOKENS = 64 << 10
_MOST_CHARACTERS = 1 << 20
# A text in many pieces takes many times its size.
_PIECES = 256

# The worker is gone, going, or no longer heard: that says nothing against the request.
_OF_WORKER = (
    reasons.ERROR_REASON_WORKER_LOST,
    reasons.ERROR_REASON_WORKER_DRAINING,
    reasons.ERROR_REASON_ENGINE_FAILED,
)
# The next one cannot take it, and a third may.
_NO_ROOM = (reasons.ERROR_REASON_WORKER_SATURATED, reasons.ERROR_REASON_WORKER_LOADING)


def continuable(spec: generation.GenerationSpec) -> bool:
    """Whether the answer is one choice of plain text, of which its tokens are all that is to be known.

    Penalties on presence and frequency count tokens of the answer only. A worker that goes on with an answer has its
    first part in the prompt, where they would not be counted.
    """
    sampling = spec.sampling
    return not (
        spec.choices > 1
        or spec.tools
        or spec.HasField("logprobs")
        or spec.response_format.WhichOneof("form") in ("json_object", "json_schema")
        or sampling.frequency_penalty
        or sampling.presence_penalty
    )


def of_worker(failure: Failure, *, begun: bool) -> bool:
    """Whether another replica may do better; `begun` where the failed one had said something."""
    if failure.reason == reasons.ERROR_REASON_DEADLINE_EXCEEDED:
        return failure.metadata.get("stage") == "idle"
    return failure.reason in _OF_WORKER or (not begun and failure.reason in _NO_ROOM)


class Spoken:
    """What an answer has said so far, as long as another replica could go on from there."""

    __slots__ = ("_ids", "_possible", "_texts")

    def __init__(self, spec: generation.GenerationSpec) -> None:
        self._possible = continuable(spec)
        self._ids = array.array("I")
        self._texts: list[str] = []

    @property
    def possible(self) -> bool:
        """Whether all that was said is known by its tokens."""
        return self._possible and bool(self._ids)

    def hear(self, ready: Sequence[generation.GenerationEvent]) -> None:
        """Take what is delivered."""
        if not self._possible:
            return
        for event in ready:  # once per token: of an event that is no delta everything is empty
            delta = event.delta
            ids, text = delta.token_ids, delta.text
            if len(ids) != delta.tokens or delta.reasoning or delta.refusal:
                self._give_up()
                return
            if text:
                self._texts.append(text)
            self._ids.extend(ids)
        if len(self._texts) >= _PIECES:
            self._join()

    def _join(self) -> None:
        """Keep the text in one piece, and what is too long not at all."""
        self._texts = [text] = ["".join(self._texts)]
        if len(self._ids) > _MOST_TOKENS or len(text) > _MOST_CHARACTERS:
            self._give_up()

    def continuation(self) -> session.Continuation:
        """What a worker is told."""
        return session.Continuation(token_ids=self._ids, text="".join(self._texts))

    def _give_up(self) -> None:
        self._possible = False
        self._ids, self._texts = array.array("I"), []
