"""Which methods heed the name of a request."""

from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.gateway.v1 import openai_service_pb2 as openai

_TYPED = inference.DESCRIPTOR.services_by_name["InferenceService"].full_name
_OPENAI = openai.DESCRIPTOR.services_by_name["OpenAIService"].full_name
# What takes work and costs money. All else may be asked twice.
METHODS = frozenset(
    (
        *(f"/{_TYPED}/{name}" for name in ("Generate", "StreamGenerate", "Embed")),
        *(f"/{_OPENAI}/Create{what}" for what in ("ChatCompletion", "Completion", "Response", "Embedding")),
    )
)
