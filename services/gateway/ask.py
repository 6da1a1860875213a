"""What the router is told of a generation: never its text."""

from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.deadline import to_duration
from services.inference import capabilities

# English text and code average about four bytes a token in current tokenizers; a picture costs some hundred tokens.
_BYTES_PER_TOKEN = 4
_TOKENS_PER_IMAGE = 768
_TOKENS_PER_MESSAGE = 4


def placement_ask(
    generation_id: str, spec: generation.GenerationSpec, time_left: float | None
) -> placement.PlacementAsk:
    """The question to the router. `time_left` in seconds; None is unbounded."""
    ask = placement.PlacementAsk(
        generation_id=generation_id,
        model=spec.model,
        input_tokens=estimated_tokens(spec),
        max_output_tokens=spec.max_output_tokens,
        capabilities=list(capabilities.required(spec)),
    )
    if time_left is not None:
        ask.time_left.CopyFrom(to_duration(time_left))
    return ask


def estimated_tokens(spec: generation.GenerationSpec) -> int:
    """Tokens of the prompt, roughly."""
    size, images = 0, 0
    for message in spec.messages:
        for part in message.parts:
            if part.HasField("image"):
                images += 1
            else:
                size += part.ByteSize()
    size += sum(tool.ByteSize() for tool in spec.tools)
    return size // _BYTES_PER_TOKEN + images * _TOKENS_PER_IMAGE + len(spec.messages) * _TOKENS_PER_MESSAGE
