"""What would happen to a request, as JSON."""

from typing import Any

from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.inference.v1 import routing_pb2 as routing

from services.chassis import status
from services.gateway.openai import errors
from services.gateway.openai.lines import dumps

ROLES = {
    routing.ROUTE_ROLE_PRIMARY: "primary",
    routing.ROUTE_ROLE_FALLBACK: "fallback",
    routing.ROUTE_ROLE_CANARY: "canary",
    routing.ROUTE_ROLE_SHADOW: "shadow",
}


def body_of(told: inference.ExplainRouteResponse, *, model: str, param_of: errors.ParamOf) -> bytes:
    """The body of an answer. `error` is what a request would be answered with, where it would be refused."""
    failure = status.from_status(told.refusal) if told.HasField("refusal") else None
    return dumps(
        {
            "object": "explanation",
            "model": model,
            "fate": told.fate,
            "strategy": told.decision.strategy,
            "targets": told.decision.targets,
            "eligible": told.decision.eligible,
            "ahead": told.ahead,
            "config_version": told.config_version,
            "candidates": [_candidate(candidate) for candidate in told.decision.candidates],
            "error": None if failure is None else errors.told(failure, param_of),
        }
    )


def _candidate(candidate: routing.CandidateScore) -> dict[str, Any]:
    shaped: dict[str, Any] = {
        "provider": candidate.provider,
        "model": candidate.provider_model,
        "role": ROLES.get(candidate.role, ""),
        "ruled_out_by": candidate.ruled_out_by or None,
        "score": candidate.score if candidate.HasField("score") else None,
        "terms": dict(sorted(candidate.terms.items())),
    }
    return shaped | ({"worker": candidate.worker} if candidate.worker else {})
