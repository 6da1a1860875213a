"""What the router is told of a request: never its text."""

from collections.abc import Iterable
from typing import Any

from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.inference.v1 import routing_pb2 as routing
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.deadline import to_duration
from services.gateway import prefix
from services.gateway.call import Call
from services.gateway.continuing import continuable

# English text and code average about four bytes a token in current tokenizers; a picture costs some hundred tokens.
_BYTES_PER_TOKEN = 4
_TOKENS_PER_IMAGE = 768
_TOKENS_PER_MESSAGE = 4


Spec = generation.GenerationSpec | embedding.EmbeddingSpec


def placement_ask(
    generation_id: str, call: Call[Any], needs: Iterable[model.Capability], time_left: float | None
) -> placement.PlacementAsk:
    """The question to the router. `time_left` in seconds; None is unbounded."""
    spec, hints = call.spec, call.routing
    ask = placement.PlacementAsk(
        generation_id=generation_id,
        model=spec.model,
        input_tokens=estimated_tokens(spec),
        capabilities=list(needs),
        key=call.credential,
        key_id=call.grant.key_id,
        key_weight=call.grant.weight,
        providers=call.grant.providers,
    )
    if hints.ByteSize():
        _hint(ask, hints, call.secret)
    if isinstance(spec, generation.GenerationSpec):
        ask.max_output_tokens = spec.max_output_tokens
        hashes = prefix.prefix_hashes(spec, call.secret, image_tokens=_TOKENS_PER_IMAGE)
        if hashes:
            ask.prefix_hashes.extend(hashes)
            ask.block_tokens = prefix.BLOCK_TOKENS
        ask.continuable = continuable(spec)
    if time_left is not None:
        ask.time_left.CopyFrom(to_duration(time_left))
    return ask


def _hint(ask: placement.PlacementAsk, hints: routing.RoutingHints, secret: bytes) -> None:
    """Add what the caller wants of the route."""
    ask.affinity = prefix.session_hash(hints.session, secret)
    ask.criticality = hints.criticality
    ask.tags.extend(hints.tags)
    ask.worker = hints.worker
    if hints.HasField("first_content_slo"):
        ask.first_content_slo.CopyFrom(hints.first_content_slo)
    if hints.HasField("max_cost_nano_usd"):
        ask.max_cost_nano_usd = hints.max_cost_nano_usd


def estimated_tokens(spec: Spec) -> int:
    """Tokens of the prompt, or of the inputs, roughly."""
    if isinstance(spec, embedding.EmbeddingSpec):
        return sum(len(item.token_ids.ids) or -(-len(item.text) // _BYTES_PER_TOKEN) for item in spec.inputs)
    if spec.HasField("prompt"):
        return len(spec.prompt.token_ids.ids) or -(-len(spec.prompt.text.encode()) // _BYTES_PER_TOKEN)
    size, images = 0, 0
    for message in spec.messages:
        for part in message.parts:
            if part.HasField("image"):
                images += 1
            else:
                size += part.ByteSize()
    size += sum(tool.ByteSize() for tool in spec.tools)
    return size // _BYTES_PER_TOKEN + images * _TOKENS_PER_IMAGE + len(spec.messages) * _TOKENS_PER_MESSAGE
