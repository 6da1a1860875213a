"""GenerateContentResponses, streamed or whole, as events of a generation."""

from collections.abc import Callable, Sequence
from typing import Any

from hybridinference.inference.v1 import generation_pb2 as generation

from services.inference.text import valid_text
from services.workers.gemini.candidate import Candidate
from services.workers.gemini.failures import from_event
from services.workers.gemini.signatures import Memory
from services.workers.gemini.usage import counted
from services.workers.gemini.wire import words
from services.workers.vendor import failures
from services.workers.vendor.usage import estimated
from services.workers.vendor.wire import loads


class Answer:
    """What has come of one answer. Implements `services.workers.vendor.stream.Answer`."""

    def __init__(
        self,
        *,
        choices: int,
        prompt_bytes: int,
        memory: Memory,
        new_id: Callable[[], str],
        one_call: bool = False,
        keys: Sequence[str] = (),
    ) -> None:
        self.model = ""
        self._candidates = [Candidate(number, memory, new_id=new_id, one_call=one_call) for number in range(choices)]
        self._usage: object = None
        self._prompt_bytes = prompt_bytes
        self._pieces = 0
        self._keys = keys

    @property
    def whole(self) -> bool:
        """Whether every choice has ended. Usage may still come."""
        return all(candidate.reason for candidate in self._candidates)

    @property
    def done(self) -> bool:
        """Never: the API has no last word, its stream just ends."""
        return False

    def events(self, data: bytes) -> list[generation.GenerationEvent]:
        """The events of one response.

        Raises:
            Failure: what the API says of its own failure; PROVIDER_MALFORMED; CONTENT_POLICY, for a prompt that is
                blocked: nothing is answered then, not even nothing.
        """
        value = loads(data)
        if not isinstance(value, dict):
            raise failures.malformed("a response that is no JSON object")
        failure = from_event(value, keys=self._keys)
        if failure is not None:
            raise failure
        if not self.model:
            self.model = valid_text(words(value.get("modelVersion"))[:256])
        self._usage = value.get("usageMetadata") or self._usage  # counts go on from response to response
        candidates = value.get("candidates")
        if not candidates:
            _check_prompt(value.get("promptFeedback"))
            return []
        if not isinstance(candidates, list):
            raise failures.malformed("candidates that are no list")
        events = []
        for one in candidates:
            event = self._candidate(one).event(one)
            if event is not None:
                self._pieces += 1
                events.append(event)
        return events

    def finished(self) -> generation.GenerationEvent:
        """The last event.

        Raises:
            Failure: TRUNCATED, where a choice has not ended.
        """
        if not self.whole:
            raise failures.truncated()
        for candidate in self._candidates:
            candidate.remember()
        said = sum(candidate.said_bytes for candidate in self._candidates)
        usage = counted(self._usage) or estimated(
            prompt_bytes=self._prompt_bytes, answer_bytes=said, pieces=self._pieces
        )
        reasons = [candidate.reason for candidate in self._candidates]
        return generation.GenerationEvent(finished=generation.Finished(reasons=reasons, usage=usage))

    def _candidate(self, one: object) -> Candidate:
        index: Any = one.get("index", 0) if isinstance(one, dict) else None
        if not isinstance(index, int) or not 0 <= index < len(self._candidates):
            raise failures.malformed("a candidate that was not asked for")
        return self._candidates[index]


def _check_prompt(feedback: object) -> None:
    if isinstance(feedback, dict) and feedback.get("blockReason"):
        raise failures.policy()
