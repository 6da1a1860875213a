"""Bounds of the typed face's fields that its contracts have in words only: the gateway's own numbers."""

from collections.abc import Mapping
from typing import Any

from services.gateway import hints, inference, validate
from services.gateway.overview import service as overview

_INFERENCE = "hybridinference.inference.v1."

# Full name of a field -> keywords of its schema, beside those of its type.
BOUNDS: Mapping[str, dict[str, Any]] = {
    "hybridinference.gateway.v1.ListModelsRequest.page_size": {"maximum": inference.LARGEST_PAGE},
    "hybridinference.gateway.v1.OverviewRequest.max_requests": {"maximum": overview.MOST_REQUESTS},
    f"{_INFERENCE}GenerationSpec.model": {"minLength": 1, "maxLength": validate.MAX_MODEL_CHARACTERS},
    f"{_INFERENCE}GenerationSpec.messages": {"maxItems": validate.MAX_MESSAGES},
    f"{_INFERENCE}GenerationSpec.tools": {"maxItems": validate.MAX_TOOLS},
    f"{_INFERENCE}GenerationSpec.max_output_tokens": {"minimum": 1, "maximum": validate.MAX_OUTPUT_TOKENS},
    f"{_INFERENCE}GenerationSpec.choices": {"minimum": 1, "maximum": validate.MAX_CHOICES},
    f"{_INFERENCE}GenerationSpec.reasoning_effort": {"enum": ["", *validate.EFFORTS]},
    f"{_INFERENCE}GenerationSpec.user": {"maxLength": validate.MAX_USER_CHARACTERS},
    f"{_INFERENCE}SamplingParams.temperature": {"minimum": 0, "maximum": 2},
    f"{_INFERENCE}SamplingParams.top_p": {"exclusiveMinimum": 0, "maximum": 1},
    f"{_INFERENCE}SamplingParams.top_k": {"minimum": 1, "maximum": validate.MAX_TOP_K},
    f"{_INFERENCE}SamplingParams.frequency_penalty": {"minimum": -2, "maximum": 2},
    f"{_INFERENCE}SamplingParams.presence_penalty": {"minimum": -2, "maximum": 2},
    f"{_INFERENCE}SamplingParams.stop": {"maxItems": validate.MAX_STOPS},
    f"{_INFERENCE}Logprobs.top": {"maximum": validate.MAX_TOP_LOGPROBS},
    f"{_INFERENCE}Tool.name": {"pattern": f"^{validate.TOOL_NAME.pattern}$"},
    f"{_INFERENCE}RoutingHints.session": {"maxLength": hints.MAX_SESSION_CHARACTERS},
    f"{_INFERENCE}RoutingHints.tags": {"maxItems": hints.MAX_TAGS},
    f"{_INFERENCE}EmbeddingSpec.model": {"minLength": 1, "maxLength": validate.MAX_MODEL_CHARACTERS},
    f"{_INFERENCE}EmbeddingSpec.inputs": {"minItems": 1, "maxItems": validate.MAX_INPUTS},
    f"{_INFERENCE}EmbeddingSpec.dimensions": {"minimum": 1, "maximum": validate.MAX_DIMENSIONS},
    f"{_INFERENCE}EmbeddingSpec.user": {"maxLength": validate.MAX_USER_CHARACTERS},
}
