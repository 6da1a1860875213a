"""What is asked for, in the words of ledger, logs and metrics."""

from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation


def operation_of(spec: generation.GenerationSpec | embedding.EmbeddingSpec) -> str:
    """`chat`, `completions` or `embeddings`."""
    if isinstance(spec, embedding.EmbeddingSpec):
        return "embeddings"
    return "completions" if spec.HasField("prompt") else "chat"
