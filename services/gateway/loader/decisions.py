"""Why requests went where they went, as JSON that PostgreSQL takes."""

from collections.abc import Mapping
from typing import Any

import orjson
from hybridinference.inference.v1 import routing_pb2

_ROLES = {
    number: value.name.removeprefix("ROUTE_ROLE_").lower()
    for number, value in routing_pb2.RouteRole.DESCRIPTOR.values_by_number.items()
    if number
}
# How JSON writes it, which jsonb refuses all the same.
_NUL = b"\\u0000"


def as_json(decision: routing_pb2.Decision) -> str:
    """A decision as JSON. What is no number is null, and NUL, which jsonb does not hold, is replaced."""
    written = orjson.dumps(  # which writes null for what is no number
        {
            "strategy": decision.strategy,
            "targets": decision.targets,
            "eligible": decision.eligible,
            "candidates": [_candidate(candidate) for candidate in decision.candidates],
            "ruled_out": _plain(decision.ruled_out),
        }
    )
    if _NUL in written:  # or a text that looks like it
        written = orjson.dumps(_without_nul(orjson.loads(written)))
    return written.decode()


def _candidate(candidate: routing_pb2.CandidateScore) -> dict[str, Any]:
    return {
        "worker": candidate.worker,
        "provider": candidate.provider,
        "provider_model": candidate.provider_model,
        "role": _ROLES.get(candidate.role, ""),
        "score": candidate.score if candidate.HasField("score") else None,
        "terms": _plain(candidate.terms),
        "ruled_out_by": candidate.ruled_out_by,
    }


def _plain(numbers: Mapping[str, float]) -> dict[str, float]:
    # `dict()` of such a map takes twice as long: it goes by way of an abstract base class.
    return {name: numbers[name] for name in numbers}


def _without_nul(value: Any) -> Any:
    match value:
        case str():
            return value.replace("\0", "\ufffd")
        case list():
            return [_without_nul(one) for one in value]
        case dict():
            return {_without_nul(name): _without_nul(one) for name, one in value.items()}
    return value
