"""The chunks of a streamed chat completion, as events of a generation."""

from collections.abc import Mapping, Sequence
from typing import Any

from hybridinference.inference.v1 import generation_pb2 as generation

from services.inference.text import valid_text
from services.workers.openai.calls import Calls
from services.workers.openai.failures import from_event
from services.workers.openai.logprobs import token_logprobs
from services.workers.openai.usage import counted
from services.workers.vendor import failures
from services.workers.vendor.text import Joiner
from services.workers.vendor.usage import estimated
from services.workers.vendor.wire import loads

_FINISH = {
    "stop": generation.FINISH_REASON_STOP,
    "length": generation.FINISH_REASON_LENGTH,
    "tool_calls": generation.FINISH_REASON_TOOL_CALLS,
    "function_call": generation.FINISH_REASON_TOOL_CALLS,
    "content_filter": generation.FINISH_REASON_BLOCKED,
}
_DONE = b"[DONE]"


class Answer:
    """What has come of one answer. Chunks go in, events come out; `done` once the server has said its last."""

    def __init__(self, *, choices: int, prompt_bytes: int, keys: Sequence[str] = ()) -> None:
        self.done = False
        self.model = ""
        self._fingerprint = ""
        self._reasons = [generation.FINISH_REASON_UNSPECIFIED] * choices
        self._calls = [Calls() for _ in range(choices)]
        self._joiner = Joiner()
        self._usage: generation.Usage | None = None
        self._prompt_bytes = prompt_bytes
        self._answer_bytes = 0
        self._pieces = 0
        self._keys = keys

    @property
    def whole(self) -> bool:
        """Whether every choice has ended. Usage may still come."""
        return generation.FINISH_REASON_UNSPECIFIED not in self._reasons

    def events(self, data: bytes) -> list[generation.GenerationEvent]:
        """The events of one chunk.

        Raises:
            Failure: what the server says of its own failure; PROVIDER_MALFORMED; TRUNCATED.
        """
        if data == _DONE:
            self.done = True
            return []
        chunk = _loads(data)
        failure = from_event(chunk, keys=self._keys)
        if failure is not None:
            raise failure
        if not self.model:
            self.model, self._fingerprint = _text(chunk, "model"), _text(chunk, "system_fingerprint")
        usage = chunk.get("usage")
        if usage is not None:
            self._usage = counted(usage) or self._usage
        events = []
        for choice in _list(chunk, "choices"):
            event = self._choice(choice)
            if event is not None:
                events.append(event)
        return events

    def finished(self) -> generation.GenerationEvent:
        """The last event.

        Raises:
            Failure: TRUNCATED, where a choice has not ended.
        """
        if not self.whole:
            raise failures.truncated()
        usage = self._usage or estimated(
            prompt_bytes=self._prompt_bytes, answer_bytes=self._answer_bytes, pieces=self._pieces
        )
        finished = generation.Finished(reasons=self._reasons, usage=usage, fingerprint=self._fingerprint)
        return generation.GenerationEvent(finished=finished)

    def _choice(self, choice: object) -> generation.GenerationEvent | None:
        if not isinstance(choice, dict):
            raise failures.malformed("a choice that is no object")
        index = choice.get("index", 0)
        if not isinstance(index, int) or not 0 <= index < len(self._reasons):
            raise failures.malformed("a choice that was not asked for")
        event = generation.GenerationEvent()
        delta = event.delta
        self.fill(delta, index, choice)
        reason = choice.get("finish_reason")
        if reason:
            for kind in ("text", "reasoning", "refusal"):  # names of the delta's own fields
                rest = self._joiner.rest((index, kind))
                if rest:
                    setattr(delta, kind, getattr(delta, kind) + rest)
                    self._answer_bytes += len(rest.encode())
            self._finish(index, reason)
        if not delta.ByteSize():
            return None
        if index:
            delta.choice = index
        self._pieces += 1
        return event

    def fill(self, delta: generation.Delta, index: int, choice: Mapping[str, Any]) -> None:
        """Put what a choice says into a delta."""
        piece = choice.get("delta")
        if not isinstance(piece, dict):
            return
        text = piece.get("content")
        if text:
            delta.text = self.joined(index, "text", text)
        if "reasoning" in piece or "reasoning_content" in piece:
            # Two names of one thing; some servers say it under both.
            thought = piece.get("reasoning") or piece.get("reasoning_content")
            if thought:
                delta.reasoning = self.joined(index, "reasoning", thought)
        refusal = piece.get("refusal")
        if refusal:
            delta.refusal = self.joined(index, "refusal", refusal)
        if "tool_calls" in piece:
            self._call(delta, index, _list(piece, "tool_calls"))
        elif piece.get("function_call"):
            self._call(delta, index, [{"index": 0, "function": piece["function_call"]}])
        logprobs = choice.get("logprobs")
        if logprobs:
            delta.logprobs.extend(token_logprobs(logprobs))

    def joined(self, index: int, kind: str, text: object) -> str:
        """A piece of text, with what is needed of the last one to make whole characters."""
        if not isinstance(text, str):
            raise failures.malformed(f"a piece of {kind} that is no text")
        piece = self._joiner.piece((index, kind), text)
        self._answer_bytes += len(piece.encode())
        return piece

    def _call(self, delta: generation.Delta, index: int, pieces: Sequence[object]) -> None:
        for piece in pieces:
            call = self._calls[index].delta(piece)
            self._answer_bytes += call.ByteSize()
            delta.tool_calls.append(call)

    def _finish(self, index: int, reason: object) -> None:
        if reason in ("error", "abort"):  # words of OpenRouter and vLLM for an answer that they gave up
            raise failures.unavailable("gave the answer up")
        known = _FINISH.get(reason) if isinstance(reason, str) else None
        if known is None:
            raise failures.malformed("an unknown reason for the end of the answer")
        self._reasons[index] = known


def _loads(data: bytes) -> dict[str, Any]:
    chunk = loads(data)
    if not isinstance(chunk, dict):
        raise failures.malformed("a chunk that is no JSON object")
    return chunk


def _list(value: Mapping[str, Any], name: str) -> list[Any]:
    found = value.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise failures.malformed(f"`{name}` that is no list")
    return found


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    return valid_text(found[:256]) if isinstance(found, str) else ""
