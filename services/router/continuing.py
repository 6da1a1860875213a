"""Continuations: going on with a broken answer at another replica of the same model."""

from services.config.flags import Flag, applies
from services.config.router import Continuation
from services.router.faults import Kind, Verdict
from services.router.leases import Generation, Lease
from services.router.request import Request
from services.router.target import Target

# Providers that take tokens which another one has drawn.
_KINDS = frozenset(("vllm", "echo"))


def allowed(flag: Flag, generation: Generation, verdict: Verdict, settings: Continuation) -> bool:
    """Whether an answer that broke off may be gone on with."""
    request = generation.request
    if request is None or not request.ask.continuable or generation.continued >= settings.max_times:
        return False
    # A limit that is used up ends no answer that has begun, and what the request itself is to blame for follows it.
    if verdict.kind not in (Kind.HARD, Kind.AWAY):
        return False
    return applies(
        flag, "continuation", generation_id=generation.id, model=request.pool.model, key_id=request.ask.key_id
    )


def replicas(request: Request, broken: Lease, now: float) -> list[Target]:
    """Workers of the same provider and model: who has not been tried first, a canary only where nobody else is left.

    A continuation must not cost more than what the attempts before it have left of what the request may cost.
    """
    target = broken.target
    if target is None or not _goes_on(target):
        return []
    alike = [
        other
        for other in request.pool.targets
        if other.worker is not broken.worker
        and other.role != "shadow"
        and (other.worker.place.provider, other.provider_model) == (target.worker.place.provider, target.provider_model)
        and other.drops is target.drops
        and _goes_on(other)
        and _takes_it(other, request, now)
        and other.most_cost(request, going_on=True) <= request.max_cost
    ]
    usual = [other for other in alike if other.role != "canary"] or alike
    usual = [other for other in usual if not other.worker.full] or usual
    return [other for other in usual if other.worker.name not in broken.generation.tried] or usual


def _takes_it(target: Target, request: Request, now: float) -> bool:
    """Whether the target may take it now. An engine that queues may though it is full: rather late than cut."""
    why = target.ruled_out(request, now)
    return why in ("", "slow_start") or (why == "full" and target.worker.queues)


def _goes_on(target: Target) -> bool:
    status = target.worker.status
    return status is not None and status.kind in _KINDS
