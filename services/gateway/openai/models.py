"""Models as OpenAI's JSON."""

from collections.abc import Iterable
from typing import Any

from hybridinference.inference.v1 import model_pb2

from services.gateway.openai.lines import dumps


def shown(model: model_pb2.Model) -> bytes:
    """The body that describes one model."""
    return dumps(_described(model))


def listed(models: Iterable[model_pb2.Model]) -> bytes:
    """The body that lists models."""
    return dumps({"object": "list", "data": [_described(model) for model in models]})


def _described(model: model_pb2.Model) -> dict[str, Any]:
    described: dict[str, Any] = {
        "id": model.name,
        "object": "model",
        "created": model.created_seconds,
        "owned_by": model.owner,
    }
    # vLLM's name for it, which several clients read.
    described |= {"max_model_len": model.context_tokens} if model.context_tokens else {}
    return described | ({"aliases": list(model.aliases)} if model.aliases else {})
