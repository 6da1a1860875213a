"""A request or two for each operation that has a body, with the model that `make up` serves."""

from collections.abc import Mapping
from typing import Any

MODEL = "smollm2"

_QUESTION = "What is the capital of France?"
_MESSAGES = [{"role": "user", "content": _QUESTION}]
_SPEC = {
    "model": MODEL,
    "messages": [{"role": "ROLE_USER", "parts": [{"text": _QUESTION}]}],
    "sampling": {"temperature": 0},
    "max_output_tokens": 20,
}

# Operation -> requests by name.
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "OpenAIService_CreateChatCompletion": {
        "whole": {"model": MODEL, "messages": _MESSAGES, "temperature": 0},
        "streamed": {"model": MODEL, "messages": _MESSAGES, "stream": True, "stream_options": {"include_usage": True}},
    },
    "OpenAIService_CreateCompletion": {
        "whole": {"model": MODEL, "prompt": "The capital of France is", "max_tokens": 5},
        "streamed": {"model": MODEL, "prompt": ["One, two,", "A, b,"], "max_tokens": 5, "stream": True},
    },
    "OpenAIService_CreateResponse": {
        "whole": {"model": MODEL, "input": _QUESTION, "temperature": 0},
        "streamed": {"model": MODEL, "input": _MESSAGES, "stream": True},
    },
    "OpenAIService_CreateEmbedding": {"texts": {"model": MODEL, "input": ["Paris", "Rome"]}},
    "OpenAIService_CreateExplanation": {
        "chat": {"model": MODEL, "messages": _MESSAGES},
        "completion": {"model": MODEL, "prompt": "The capital of France is"},
    },
    "InferenceService_ExplainRoute": {"question": {"spec": _SPEC}},
    "InferenceService_Generate": {"question": {"spec": _SPEC}},
    "InferenceService_StreamGenerate": {"question": {"spec": _SPEC}},
    "InferenceService_Embed": {"texts": {"spec": {"model": MODEL, "inputs": [{"text": "Paris"}, {"text": "Rome"}]}}},
}
