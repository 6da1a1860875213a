"""Why requests went where they went, as JSON that PostgreSQL takes."""

import math
from typing import Any

import orjson
from hybridinference.inference.v1 import routing_pb2

_ROLES = {
    number: value.name.removeprefix("ROUTE_ROLE_").lower()
    for number, value in routing_pb2.RouteRole.DESCRIPTOR.values_by_number.items()
    if number
}


def as_json(decision: routing_pb2.Decision) -> str:
    """A decision as JSON. What is no number is null, and NUL, which jsonb does not hold, is replaced."""
    shaped = {
        "strategy": _text(decision.strategy),
        "targets": decision.targets,
        "eligible": decision.eligible,
        "candidates": [_candidate(candidate) for candidate in decision.candidates],
        "ruled_out": {_text(name): count for name, count in decision.ruled_out.items()},
    }
    return orjson.dumps(shaped).decode()


def _candidate(candidate: routing_pb2.CandidateScore) -> dict[str, Any]:
    return {
        "worker": _text(candidate.worker),
        "provider": _text(candidate.provider),
        "provider_model": _text(candidate.provider_model),
        "role": _ROLES.get(candidate.role, ""),
        "score": _number(candidate.score) if candidate.HasField("score") else None,
        "terms": {_text(name): _number(value) for name, value in candidate.terms.items()},
        "ruled_out_by": _text(candidate.ruled_out_by),
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _text(text: str) -> str:
    return text.replace("\0", "\ufffd")
