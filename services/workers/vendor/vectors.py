"""Vectors as a vendor gave them, held against what was asked for."""

from collections.abc import Iterable

from hybridinference.inference.v1 import embedding_pb2 as embedding

from services.workers.vendor import failures


def check(lengths: Iterable[int], spec: embedding.EmbeddingSpec) -> None:
    """Whether vectors of these lengths answer the spec.

    Raises:
        Failure: PROVIDER_MALFORMED.
    """
    found = set(lengths)
    if len(found) > 1 or 0 in found:
        raise failures.malformed("vectors of different lengths, or none")
    if spec.HasField("dimensions") and found != {spec.dimensions}:
        raise failures.malformed("vectors of another length than was asked for")
