"""Features of embeddings."""

import math
from collections.abc import Sequence

from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import model_pb2 as model

from services.cli.verify.feature import Build, Feature
from services.cli.verify.seen import Seen

_EMBED = model.CAPABILITY_EMBEDDINGS
_DIMENSIONS = 256
# How far two vectors of the same text may be apart: a batch may be computed in another order.
_ALIKE = 0.99
_INPUTS = 3
_TOKENS = (1012, 1996, 4937)


def _embedding(*texts: str, tokens: Sequence[int] = (), dimensions: int | None = None) -> Build:
    def build(model_name: str, _: Sequence[Seen]) -> embedding.EmbeddingSpec:
        spec = embedding.EmbeddingSpec(model=model_name, dimensions=dimensions)
        for text in texts:
            spec.inputs.add(text=text)
        if tokens:
            spec.inputs.add(token_ids=embedding.TokenIds(ids=tokens))
        return spec

    return build


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """How alike two vectors are, from -1 to 1."""
    return sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))


def _sound(seen: Sequence[Seen]) -> str:
    (one,) = seen
    if len({len(vector) for vector in one.vectors}) != 1:
        return "vectors of different lengths" if one.vectors else "no vectors"
    for vector in one.vectors:
        if not all(map(math.isfinite, vector)) or not any(vector):
            return "a vector without a direction"
    return ""


def _counted(seen: Sequence[Seen]) -> str:
    return _sound(seen) if seen[0].usage.input_tokens else "no usage"


def _in_order(seen: Sequence[Seen]) -> str:
    wrong = _sound(seen)
    if wrong or len(seen[0].vectors) != _INPUTS:
        return wrong or f"{len(seen[0].vectors)} vectors"
    first, other, again = seen[0].vectors
    if cosine(first, again) < _ALIKE:
        return "the same text has different vectors"
    return "different texts have the same vector" if cosine(first, other) > _ALIKE else ""


def _short(seen: Sequence[Seen]) -> str:
    wrong = _sound(seen)
    if wrong:
        return wrong
    length = len(seen[0].vectors[0])
    return "" if length == _DIMENSIONS else f"{length} dimensions instead of {_DIMENSIONS}"


FEATURES = (
    Feature("embed", "Embedding of a text", (_EMBED,), (_embedding("A cat sleeps."),), _sound),
    Feature(
        "embed-several",
        "Of several, in order",
        (_EMBED,),
        (_embedding("A cat sleeps.", "Taxes rose in May.", "A cat sleeps."),),
        _in_order,
    ),
    Feature("embed-usage", "Usage of an embedding", (_EMBED,), (_embedding("A cat sleeps."),), _counted),
    Feature(
        "embed-tokens", "Of token ids", (_EMBED, model.CAPABILITY_TOKEN_INPUTS), (_embedding(tokens=_TOKENS),), _sound
    ),
    Feature(
        "embed-dimensions",
        "Of a given length",
        (_EMBED, model.CAPABILITY_DIMENSIONS),
        (_embedding("A cat sleeps.", dimensions=_DIMENSIONS),),
        _short,
    ),
)
