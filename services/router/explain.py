"""Why a request goes where it goes: what was compared, and what ruled out the rest. Decides and changes nothing."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from hybridinference.inference.v1 import routing_pb2 as routing
from hybridinference.router.v1 import router_service_pb2 as router_service

from services.chassis.failure import Failure
from services.router import pools
from services.router.request import Request
from services.router.target import ROLES, Target

# What keeps away a target that no filter does, beside those that are named where they are found: it would begin too
# late; others wait for it.
LATE, QUEUE = "late", "queue"


class Explanation(NamedTuple):
    """What would become of a request: every candidate, and what the caller would be told where it would be refused."""

    decision: routing.Decision
    fate: router_service.ExplainedFate
    refusal: Failure | None = None
    ahead: int = 0


def placed(
    told: routing.Decision,
    request: Request,
    targets: Sequence[Target],
    chosen: Target,
    tried: Collection[str],
    now: float,
) -> None:
    """Tell of a decision that was made as much as is cheap: the chosen one, the best of the others, and counts.

    Args:
        told: where it is told, which saves a copy.
        request: what is placed.
        targets: those it could be placed on.
        chosen: the one that it is placed on.
        tried: names of the workers that had failed it before.
        now: when.
    """
    pool = request.pool
    _begin(told, request, targets)
    _score(told.candidates.add(), request, chosen, now)
    other = pool.strategy.runner_up if len(targets) > 1 else None
    if other is not None and other is not chosen and other in targets:
        _score(told.candidates.add(), request, other, now)
    if len(targets) < len(pool.targets):
        told.ruled_out.update(_counts(request, targets, tried, LATE))


def refused(request: Request) -> routing.Decision:
    """Of a request that no target could take: how many each filter ruled out."""
    told = routing.Decision()
    _begin(told, request, ())
    told.ruled_out.update(_counts(request, (), (), LATE))
    return told


def everything(
    request: Request, targets: Sequence[Target], chosen: Target | None, now: float, *, otherwise: str = LATE
) -> routing.Decision:
    """Every target of the model: the chosen one, the other eligible ones by score, then those that are ruled out.

    `otherwise` keeps away what no filter does, where nobody could be chosen.
    """
    told = routing.Decision()
    _begin(told, request, targets)
    if chosen is not None:
        _score(told.candidates.add(), request, chosen, now, whole=True)
    others = [routing.CandidateScore() for target in targets if target is not chosen]
    for candidate, target in zip(others, (target for target in targets if target is not chosen), strict=True):
        _score(candidate, request, target, now, whole=True)
    told.candidates.extend(sorted(others, key=lambda candidate: candidate.score))
    for target, reason in _ruled_out(request, targets, (), otherwise):
        candidate = told.candidates.add()
        _name(candidate, target)
        candidate.ruled_out_by = reason
    return told


def _begin(told: routing.Decision, request: Request, targets: Sequence[Target]) -> None:
    told.strategy = request.pool.strategy.name
    told.targets = len(request.pool.targets)
    told.eligible = len(targets)


def _score(
    candidate: routing.CandidateScore, request: Request, target: Target, now: float, *, whole: bool = False
) -> None:
    """Tell of a target with its score and terms; of terms that are 0 only where all is to be told."""
    _name(candidate, target)
    score = request.pool.strategy.score(request, target, now)
    if score is not None:
        candidate.score = score.value
        candidate.terms.update({name: value for name, value in score.terms.items() if whole or value})


def _name(candidate: routing.CandidateScore, target: Target) -> None:
    place = target.worker.place
    candidate.worker, candidate.provider = place.name, place.provider
    candidate.provider_model, candidate.role = target.provider_model, ROLES[target.role]


def _counts(request: Request, targets: Sequence[Target], tried: Collection[str], otherwise: str) -> dict[str, int]:
    if not tried:
        quickly = Counter(request.pool.filters.reasons(request))
        if quickly.pop("", 0) == len(targets):  # whoever is fit could be chosen: filters alone kept the others away
            return quickly
    counts: dict[str, int] = {}
    for _, reason in _ruled_out(request, targets, tried, otherwise):
        counts[reason] = counts.get(reason, 0) + 1
    return counts


def _ruled_out(
    request: Request, targets: Sequence[Target], tried: Collection[str], otherwise: str
) -> Iterator[tuple[Target, str]]:
    """Every target that could not be chosen, with what kept it away."""
    eligible = {target.position for target in targets}
    reasons = request.pool.filters.reasons(request)
    serving = pools.ROLES.index(targets[0].role) if targets and targets[0].role in pools.ROLES else None
    for target in request.pool.targets:
        if target.position in eligible:
            continue
        reason = reasons[target.position]
        if reason:
            yield target, reason
        elif target.worker.name in tried:
            yield target, "tried"
        elif target.role == "shadow" or (target.role == "canary" and target not in request.canary):
            yield target, "role"
        elif serving is None:
            yield target, otherwise
        elif (place := pools.ROLES.index(target.role)) != serving:
            yield target, "role" if place > serving else LATE
        else:  # fit, and yet not among them: others leave nothing out; or a hedge, a continuation cannot go there
            yield target, "drops" if target.drops else "kind"
