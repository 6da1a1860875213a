"""Embeddings: inputs as requests, vectors out of answers."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from hybridinference.inference.v1 import embedding_pb2 as embedding

from services.workers.gemini import failures
from services.workers.vendor import failures as vendor_failures
from services.workers.vendor.wire import loads

# What the API takes at once.
MOST_INPUTS = 100


def bodies(spec: embedding.EmbeddingSpec, model: str) -> Iterator[dict[str, Any]]:
    """The bodies of the batchEmbedContents requests that embed all inputs, in order.

    Raises:
        Failure: UNSUPPORTED, for an input of token ids.
    """
    requests = [_request(spec, model, index) for index in range(len(spec.inputs))]
    for start in range(0, len(requests), MOST_INPUTS):
        yield {"requests": requests[start : start + MOST_INPUTS]}


def _request(spec: embedding.EmbeddingSpec, model: str, index: int) -> dict[str, Any]:
    item = spec.inputs[index]
    if item.WhichOneof("input") != "text":
        raise failures.unsupported(f"inputs[{index}]", "an input is text, not token ids")
    request: dict[str, Any] = {"model": model, "content": {"parts": [{"text": item.text}]}}
    if spec.HasField("dimensions"):
        request["outputDimensionality"] = spec.dimensions
    return request


def vectors(body: bytes, *, keys: Sequence[str]) -> list[embedding.Embedding]:
    """The vectors of one answer.

    Raises:
        Failure: PROVIDER_MALFORMED, or what the answer says of its own failure.
    """
    value = loads(body)
    if isinstance(value, dict):
        failure = failures.from_event(value, keys=keys)
        if failure is not None:
            raise failure
        found = value.get("embeddings")
        if isinstance(found, list):
            return [_vector(one) for one in found]
    raise vendor_failures.malformed("something other than vectors")


def _vector(one: object) -> embedding.Embedding:
    values = one.get("values") if isinstance(one, dict) else None
    try:
        vector = embedding.Embedding(values=values)
    except (TypeError, ValueError):
        vector = embedding.Embedding()
    if not vector.values or not all(map(math.isfinite, vector.values)):
        raise vendor_failures.malformed("a vector that cannot be read")
    return vector
