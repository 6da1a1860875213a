"""What the engine puts out, as events."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from hybridinference.inference.v1 import generation_pb2 as generation

from services.inference.text import valid_text
from services.workers.vllm.failures import failed, lost

_REASONS = {
    "stop": generation.FINISH_REASON_STOP,
    "length": generation.FINISH_REASON_LENGTH,
    # The engine ends an answer that only repeats itself, where it is told to.
    "repetition": generation.FINISH_REASON_STOP,
}

# With their log probabilities, they must fit one event.
_MOST_HELD = 1024
# Stands for minus infinity, which JSON has no word for; OpenAI uses the same.
_IMPOSSIBLE = -9999.0


class TokenProbability(Protocol):
    """vLLM's Logprob."""

    logprob: float
    rank: int | None
    decoded_token: str | None


class ChoiceOutput(Protocol):
    """vLLM's CompletionOutput: what is new of one choice."""

    index: int
    text: str
    token_ids: Sequence[int]
    logprobs: Sequence[Mapping[int, TokenProbability]] | None
    finish_reason: str | None


class EngineOutput(Protocol):
    """vLLM's RequestOutput."""

    outputs: Sequence[ChoiceOutput]
    prompt_token_ids: Sequence[int] | None
    num_cached_tokens: int | None
    finished: bool


class TokenBytes(Protocol):
    """Tells the bytes of a token."""

    def token_bytes(self, token_id: int) -> bytes:
        """The token's own bytes."""


class Parser(Protocol):
    """Tells tool calls and thinking of one choice apart from its text."""

    @property
    def called(self) -> bool:
        """Whether a tool was called."""

    @property
    def reasoning_tokens(self) -> int:
        """Tokens of thinking so far."""

    def fill(
        self, delta: generation.Delta, text: str, ids: Sequence[int], prompt_ids: Sequence[int], *, last: bool
    ) -> None:
        """Put what is new into a delta."""


class Answer:
    """Folds the outputs of one generation: events come out, usage and finish reasons stay."""

    def __init__(
        self, *, choices: int, top_logprobs: int, vocabulary: TokenBytes, parsers: Sequence[Parser] = ()
    ) -> None:
        self._reasons = [generation.FINISH_REASON_UNSPECIFIED] * choices
        self._top = top_logprobs
        self._vocabulary = vocabulary
        self._parsers = parsers  # one for each choice, or none where everything is text
        self._held: dict[int, generation.GenerationEvent] = {}
        self._input_tokens = 0
        self._cached_tokens: int | None = None
        self._output_tokens = 0

    def deltas(self, output: EngineOutput) -> Iterator[generation.GenerationEvent]:
        """The deltas in one output of the engine.

        Raises:
            Failure: ENGINE_FAILED, where the engine gave up on a choice; WORKER_LOST, where it is being stopped.
        """
        if self._cached_tokens is None:
            # Of several choices, those after the first find the prompt of the first in the cache: that is no saving.
            self._input_tokens = len(output.prompt_token_ids or ())
            self._cached_tokens = output.num_cached_tokens or 0
        for choice in output.outputs:
            ids = choice.token_ids
            if self._parsers:
                self._output_tokens += len(ids)
                event = self._parsed(choice, output.prompt_token_ids or ())
                if event is not None:
                    yield event
            elif ids or choice.text:
                self._output_tokens += len(ids)
                yield self._delta(choice)
            if choice.finish_reason is not None:
                self._finish(choice.index, choice.finish_reason)

    def finished(self) -> generation.GenerationEvent:
        """The last event.

        Raises:
            Failure: ENGINE_FAILED, where a choice has not ended.
        """
        if generation.FINISH_REASON_UNSPECIFIED in self._reasons:
            raise failed()
        usage = generation.Usage(
            input_tokens=self._input_tokens,
            output_tokens=self._output_tokens,
            cached_tokens=self._cached_tokens or 0,
            reasoning_tokens=sum(parser.reasoning_tokens for parser in self._parsers),
        )
        return generation.GenerationEvent(finished=generation.Finished(reasons=self._reasons, usage=usage))

    def _delta(self, choice: ChoiceOutput) -> generation.GenerationEvent:
        ids = choice.token_ids
        event = generation.GenerationEvent()
        # Once per token: setting fields takes two thirds of the time of building two messages.
        delta = event.delta
        delta.choice = choice.index
        delta.text = valid_text(choice.text)
        delta.token_ids.extend(ids)
        delta.tokens = len(ids)
        if choice.logprobs:
            delta.logprobs.extend(map(self._token_logprob, ids, choice.logprobs))
        return event

    def _parsed(self, choice: ChoiceOutput, prompt_ids: Sequence[int]) -> generation.GenerationEvent | None:
        """What a parser makes of an output. Tokens whose text it holds back come with the next piece."""
        event = self._held.pop(choice.index, None) or generation.GenerationEvent()
        delta = event.delta
        ids = choice.token_ids
        last = choice.finish_reason is not None
        self._parsers[choice.index].fill(delta, choice.text, ids, prompt_ids, last=last)
        delta.token_ids.extend(ids)
        delta.tokens += len(ids)
        if choice.logprobs:
            delta.logprobs.extend(map(self._token_logprob, ids, choice.logprobs))
        if delta.text or delta.reasoning or delta.tool_calls or delta.tokens > _MOST_HELD or (last and delta.tokens):
            delta.choice = choice.index
            return event
        if not last:
            self._held[choice.index] = event
        return None

    def _token_logprob(self, token_id: int, position: Mapping[int, TokenProbability]) -> generation.TokenLogprob:
        drawn = position[token_id]
        # Beside the likeliest, a position holds the drawn token, which need not be among them.
        likeliest = sorted(position.items(), key=lambda item: -item[1].logprob)[: self._top]
        return generation.TokenLogprob(
            token=valid_text(drawn.decoded_token or ""),
            logprob=max(drawn.logprob, _IMPOSSIBLE),
            token_bytes=self._vocabulary.token_bytes(token_id),
            top=[
                generation.TopLogprob(
                    token=valid_text(other.decoded_token or ""),
                    logprob=max(other.logprob, _IMPOSSIBLE),
                    token_bytes=self._vocabulary.token_bytes(other_id),
                )
                for other_id, other in likeliest
            ],
        )

    def _finish(self, index: int, reason: str) -> None:
        if reason == "abort":  # not by us: whoever aborts does not read on
            raise lost()
        if reason not in _REASONS:
            raise failed()
        found = _REASONS[reason]
        if found == generation.FINISH_REASON_STOP and self._parsers and self._parsers[index].called:
            found = generation.FINISH_REASON_TOOL_CALLS
        self._reasons[index] = found


def started(model: str) -> generation.GenerationEvent:
    """The first event."""
    return generation.GenerationEvent(started=generation.Started(provider_model=model))
