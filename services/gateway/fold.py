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
                choice = self._choices.setdefault(event.delta.choice, _Choice())
                choice.take(event.delta)
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
            content = self._choices.get(index, _Choice()).joined(index)
            response.choices.add(index=index, content=content, finish_reason=reason)
        return response


class _Choice:
    """The pieces of one choice, joined once at the end: appending to a protobuf string copies it each time."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, tuple[generation.ToolCallDelta, list[str]]] = {}
        self._rest = generation.Delta()

    def take(self, delta: generation.Delta) -> None:
        self._text.append(delta.text)
        self._reasoning.append(delta.reasoning)
        self._refusal.append(delta.refusal)
        self._rest.logprobs.extend(delta.logprobs)
        self._rest.token_ids.extend(delta.token_ids)
        self._rest.tokens += delta.tokens
        for piece in delta.tool_calls:
            call, arguments = self._calls.setdefault(piece.index, (generation.ToolCallDelta(index=piece.index), []))
            call.id = call.id or piece.id
            call.name = call.name or piece.name
            call.signature = call.signature or piece.signature
            arguments.append(piece.arguments_json)

    def joined(self, index: int) -> generation.Delta:
        whole = generation.Delta()
        whole.CopyFrom(self._rest)
        whole.choice = index
        whole.text = "".join(self._text)
        whole.reasoning = "".join(self._reasoning)
        whole.refusal = "".join(self._refusal)
        for _, (call, arguments) in sorted(self._calls.items()):
            call.arguments_json = "".join(arguments)
            whole.tool_calls.append(call)
        return whole
