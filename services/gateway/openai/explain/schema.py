"""JSON Schemas of POST /v1/explain: what it takes is what other paths take."""

from services.gateway.explainer import FATES
from services.gateway.openai import members
from services.gateway.openai.explain.response import ROLES
from services.gateway.openai.schemas import COUNT, TEXT, array, choice, constant, nullable, record

_NUMBER = {"type": "number"}
_CANDIDATE = record(
    {
        "provider": TEXT | {"description": "The provider's name in the configuration."},
        "model": TEXT | {"description": "The model's name at the provider."},
        "role": choice(ROLES.values()),
        "worker": TEXT | {"description": "The worker, where the configuration lets callers know it."},
        "ruled_out_by": nullable(TEXT, "The filter that rules it out."),
        "score": nullable(_NUMBER, "What the strategy compares; the lowest is chosen."),
        "terms": {
            "type": "object",
            "additionalProperties": _NUMBER,
            "description": "What the score is made of, and what else was known. Units are in the names.",
        },
    },
    "provider", "model", "role", "ruled_out_by", "score", "terms",
)  # fmt: skip
RESPONSE = record(
    {
        "object": constant("explanation"),
        "model": TEXT,
        "fate": choice(FATES.values()) | {"description": "What would become of the request now."},
        "strategy": TEXT,
        "targets": COUNT | {"description": "Ways to serve the model: workers, each once for each of its routes."},
        "eligible": COUNT | {"description": "How many of them could be chosen."},
        "ahead": COUNT | {"description": "How many would wait before it, where it would wait."},
        "config_version": TEXT | {"description": "The configuration that the router goes by."},
        "candidates": array(_CANDIDATE)
        | {"description": "The one that would be chosen, the others by score, those that are ruled out."},
        "error": nullable(
            members.ERROR["properties"]["error"], "What the request would be answered with, where it would be refused."
        ),
    },
    "object", "model", "fate", "strategy", "targets", "eligible", "ahead", "config_version", "candidates", "error",
)  # fmt: skip
