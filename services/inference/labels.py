"""Labels that several processes' metrics have."""

from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.declared import Label, one_of
from services.inference.attempts import KINDS

OTHER = "other"

MODEL = Label("model", "a configured model's own name, or `other`")
PROVIDER = Label("provider", "a provider's name in the configuration")
WORKER = Label("worker", "a worker's name")
KIND = one_of("kind", KINDS)
REASONS = frozenset(name.removeprefix("ERROR_REASON_") for name, _ in reasons.ErrorReason.items())
REASON = one_of("reason", REASONS | {""}, "an error's reason; empty without an error")

# OpenTelemetry's conventions for generative AI, as Prometheus writes names. A convention's word for each of ours.
OPERATIONS = {"chat": "chat", "completions": "text_completion", "embeddings": "embeddings"}
_PROVIDER_NAMES = {"gemini": "gcp.gemini"}
OPERATION_NAME = one_of("gen_ai_operation_name", OPERATIONS.values())
PROVIDER_NAME = Label("gen_ai_provider_name", "a kind of provider, by the convention's name for it")
TOKEN_TYPE = one_of("gen_ai_token_type", ("input", "output"))
ERROR_TYPE = one_of("error_type", REASONS | {""}, "an error's reason; empty without an error")


def provider_name(kind: str) -> str:
    """The convention's name for a kind of provider; the kind itself where it has none."""
    return _PROVIDER_NAMES.get(kind, kind)
