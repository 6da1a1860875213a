"""Why a request goes where it goes: what was compared, and what ruled out the rest. Decides and changes nothing."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from hybridinference.inference.v1 import routing_pb2 as routing
from hybridinference.router.v1 import router_service_pb2 as router_service

from services.chassis.failure import Failure
from services.router.pools import Pool
from services.router.request import Request
from services.router.target import ROLES, Target


class Explanation(NamedTuple):
    """What would become of a request: every candidate, and what the caller would be told where it would be refused."""

    decision: routing.Decision
    fate: router_service.ExplainedFate
    refusal: Failure | None = None
    ahead: int = 0


def placed(
    request: Request, targets: Sequence[Target], chosen: Target, tried: Collection[str], now: float
) -> routing.Decision:
    """Of a decision that was made, as much as is cheap: the chosen one, the best of the others, and counts.

    Args:
        request: what was placed; as `Pool.eligible` left it.
        targets: those it could be placed on.
        chosen: the one that it was placed on.
        tried: names of the workers that had failed it before.
        now: when.
    """
    pool = request.pool
    best = [_scored(request, chosen, now)]
    other = pool.strategy.runner_up if len(targets) > 1 else None
    if other is not None and other is not chosen and other in targets:
        best.append(_scored(request, other, now))
    return routing.Decision(
        strategy=pool.strategy.name,
        targets=len(pool.targets),
        eligible=len(targets),
        candidates=best,
        ruled_out=_counts(request, targets, tried, now),
    )


def refused(request: Request, now: float) -> routing.Decision:
    """Of a request that no target could take: how many each filter ruled out."""
    pool = request.pool
    counts = _counts(request, (), (), now)
    return routing.Decision(strategy=pool.strategy.name, targets=len(pool.targets), ruled_out=counts)


def everything(request: Request, targets: Sequence[Target], chosen: Target | None, now: float) -> routing.Decision:
    """Every target of the model: the chosen one, the other eligible ones by score, then those that are ruled out."""
    pool = request.pool
    scored = [_scored(request, target, now) for target in targets if target is not chosen]
    scored.sort(key=lambda candidate: candidate.score)
    first = [] if chosen is None else [_scored(request, chosen, now)]
    return routing.Decision(
        strategy=pool.strategy.name,
        targets=len(pool.targets),
        eligible=len(targets),
        candidates=[*first, *scored, *_ruled_out(request, pool, targets, now)],
    )


def _ruled_out(request: Request, pool: Pool, targets: Sequence[Target], now: float) -> list[routing.CandidateScore]:
    eligible = {target.position for target in targets}
    rest = [target for target in pool.targets if target.position not in eligible]
    role = targets[0].role if targets else ""
    found = []
    for target in rest:
        candidate = _named(target)
        # Of the role that serves, and fit: another one leaves nothing out.
        passed_over = "drops" if target.role == role else "role"
        candidate.ruled_out_by = target.ruled_out(request, now) or passed_over
        found.append(candidate)
    return found


def _scored(request: Request, target: Target, now: float) -> routing.CandidateScore:
    candidate = _named(target)
    score = request.pool.strategy.score(request, target, now)
    if score is not None:
        candidate.score = score.value
        candidate.terms.update(score.terms)
    return candidate


def _named(target: Target) -> routing.CandidateScore:
    place = target.worker.place
    return routing.CandidateScore(
        worker=place.name, provider=place.provider, provider_model=target.provider_model, role=ROLES[target.role]
    )


def _counts(request: Request, targets: Sequence[Target], tried: Collection[str], now: float) -> dict[str, int]:
    """Targets that could not be chosen, by the filter that kept each away; empty where all could."""
    counts: dict[str, int] = {}
    rest = request.pool.targets
    if len(targets) == len(rest):
        return counts
    eligible = {target.position for target in targets}
    role = targets[0].role if targets else ""
    for target in rest:
        if target.position in eligible:
            continue
        if role and target.role != role:
            name = "role"
        elif target.worker.name in tried:
            name = "tried"
        else:  # fit, and yet not among them: others leave nothing out
            name = target.ruled_out(request, now) or "drops"
        counts[name] = counts.get(name, 0) + 1
    return counts
