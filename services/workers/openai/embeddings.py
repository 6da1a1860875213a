"""Embeddings: a spec as the body of a request, and the answer as vectors."""

import array
import base64
import binascii
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from services.inference.text import valid_text
from services.workers.openai import options
from services.workers.openai.failures import from_event
from services.workers.provider import Embedded
from services.workers.vendor import failures
from services.workers.vendor.usage import estimated
from services.workers.vendor.vectors import check
from services.workers.vendor.wire import loads

# 2048 vectors (the most that OpenAI takes) of 4096 numbers are 43 MiB in base64.
LONGEST_BYTES = 64 << 20
_FLOAT_BYTES = 4


def body(spec: embedding.EmbeddingSpec) -> dict[str, Any]:
    """The body, ready for orjson. Vectors are always asked for in base64, a quarter of their size as text.

    Raises:
        Failure: SPEC_INVALID or UNSUPPORTED, naming the input or the option.
    """
    kinds = {item.WhichOneof("input") for item in spec.inputs}
    if len(kinds) > 1:
        raise Failure(
            reasons.ERROR_REASON_SPEC_INVALID,
            "`inputs` must be all texts or all token ids for this provider.",
            field="inputs",
        )
    if "token_ids" in kinds:
        said: list[Any] = [list(item.token_ids.ids) for item in spec.inputs]
    else:
        said = [item.text for item in spec.inputs]
    request: dict[str, Any] = {"model": spec.model, "input": said, "encoding_format": "base64"}
    if spec.HasField("dimensions"):
        request["dimensions"] = spec.dimensions
    if spec.user:
        request["user"] = spec.user
    return request | options.passed_on(spec.provider_options_json)


def embedded(data: bytes, spec: embedding.EmbeddingSpec, *, keys: Sequence[str]) -> Embedded:
    """The vectors, in the order of the inputs.

    Raises:
        Failure: PROVIDER_MALFORMED; or what the server says of its own failure.
    """
    answer = loads(data)
    if not isinstance(answer, dict):
        raise failures.malformed("vectors that are no JSON object")
    failure = from_event(answer, keys=keys)
    if failure is not None:
        raise failure
    vectors = [_vector(item) for item in _in_order(answer.get("data"), len(spec.inputs))]
    check(map(len, vectors), spec)
    model = answer.get("model")
    return Embedded(
        [embedding.Embedding(values=vector) for vector in vectors],
        _usage(answer, spec),
        valid_text(model[:256]) if isinstance(model, str) and model else spec.model,
    )


def _in_order(items: object, wanted: int) -> list[Mapping[str, Any]]:
    if not isinstance(items, list) or len(items) != wanted:
        raise failures.malformed("another number of vectors than there are inputs")
    ordered: dict[int, Mapping[str, Any]] = {}
    for place, item in enumerate(items):
        if not isinstance(item, dict):
            raise failures.malformed("a vector that is no object")
        index = item.get("index", place)
        if isinstance(index, int) and not isinstance(index, bool) and 0 <= index < wanted:
            ordered[index] = item
    if len(ordered) != wanted:
        raise failures.malformed("vectors that do not belong to one input each")
    return [ordered[index] for index in range(wanted)]


def _vector(item: Mapping[str, Any]) -> "array.array[float]":
    said = item.get("embedding")
    try:
        vector = _unpacked(said) if isinstance(said, str) else array.array("f", said or ())
    except (TypeError, ValueError, OverflowError, binascii.Error):
        raise failures.malformed("a vector that cannot be read") from None
    if not math.isfinite(sum(vector)):  # in 64 bits: no sum of 32-bit numbers is too large
        raise failures.malformed("a vector with a number that is none")
    return vector


def _unpacked(text: str) -> "array.array[float]":
    """Little-endian 32-bit floats in base64."""
    vector = array.array("f")
    assert vector.itemsize == _FLOAT_BYTES
    vector.frombytes(base64.b64decode(text, validate=True))
    if sys.byteorder == "big":
        vector.byteswap()
    return vector


def _usage(answer: Mapping[str, Any], spec: embedding.EmbeddingSpec) -> generation.Usage:
    usage = answer.get("usage")
    count = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    if isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 1 << 32:
        return generation.Usage(input_tokens=count)
    tokens = sum(len(item.token_ids.ids) for item in spec.inputs)
    guess = estimated(prompt_bytes=sum(len(item.text.encode()) for item in spec.inputs))
    return generation.Usage(input_tokens=tokens + guess.input_tokens, estimated=True)
