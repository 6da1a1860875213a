"""A stream of events folded into a whole generation."""

from collections.abc import Iterable

from hybridinference.gateway.v1 import inference_service_pb2 as gateway
from hybridinference.inference.v1 import generation_pb2 as generation


class Fold:
    """Takes events in order; `whole` is what they amount to."""

    def __init__(self) -> None:
        self._started = generation.Started()
        self._finished = generation.Finished()
        self._choices: dict[int, _Choice] = {}

    def take(self, events: Iterable[generation.GenerationEvent]) -> None:
        """Add events."""
        for event in events:
            kind = event.WhichOneof("event")
            if kind == "delta":
                delta = event.delta
                choice = self._choices.get(delta.choice)
                if choice is None:
                    choice = self._choices[delta.choice] = _Choice()
                choice.take(delta)
            elif kind == "started":
                self._started = event.started
            elif kind == "finished":
                self._finished = event.finished

    def whole(self) -> gateway.GenerateResponse:
        """The generation so far."""
        response = gateway.GenerateResponse(
            provider_model=self._started.provider_model,
            dropped_fields=self._started.dropped_fields,
            usage=self._finished.usage,
            fingerprint=self._finished.fingerprint,
        )
        for index, reason in enumerate(self._finished.reasons):
            choice = response.choices.add(index=index, finish_reason=reason)
            said = self._choices.get(index)
            if said is None:
                choice.content.choice = index
                choice.content.SetInParent()
            else:
                said.join(choice.content, index)
        return response


class _Choice:
    """The pieces of one choice, joined once at the end: appending to a protobuf string copies it each time."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, tuple[generation.ToolCallDelta, list[str]]] = {}
        self._logprobs: list[generation.TokenLogprob] = []
        self._token_ids: list[int] = []
        self._tokens = 0

    def take(self, delta: generation.Delta) -> None:
        if text := delta.text:
            self._text.append(text)
        if reasoning := delta.reasoning:
            self._reasoning.append(reasoning)
        if refusal := delta.refusal:
            self._refusal.append(refusal)
        if logprobs := delta.logprobs:
            self._logprobs.extend(logprobs)
        if token_ids := delta.token_ids:
            self._token_ids.extend(token_ids)
        self._tokens += delta.tokens
        for piece in delta.tool_calls:
            call, arguments = self._calls.setdefault(piece.index, (generation.ToolCallDelta(index=piece.index), []))
            call.id = call.id or piece.id
            call.name = call.name or piece.name
            call.signature = call.signature or piece.signature
            arguments.append(piece.arguments_json)

    def join(self, whole: generation.Delta, index: int) -> None:
        """Put it together in an empty delta."""
        whole.choice = index
        whole.text = "".join(self._text)
        whole.tokens = self._tokens
        if self._reasoning:
            whole.reasoning = "".join(self._reasoning)
        if self._refusal:
            whole.refusal = "".join(self._refusal)
        if self._logprobs:
            whole.logprobs.extend(self._logprobs)
        if self._token_ids:
            whole.token_ids.extend(self._token_ids)
        for _, (call, arguments) in sorted(self._calls.items()):
            call.arguments_json = "".join(arguments)
            whole.tool_calls.append(call)
