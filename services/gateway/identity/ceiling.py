"""The most that an operator's keys may do: whether a key stays below it, and what is left of one that does not."""

import dataclasses
import decimal

from hybridinference.inference.v1 import routing_pb2

from services.config.access import Ceiling, Criticality
from services.gateway.identity import policy
from services.gateway.identity.grant import Grant

_NANO = 10**9
_NONE = Ceiling()
_VALUES: dict[Criticality, int] = {
    "sheddable": routing_pb2.CRITICALITY_SHEDDABLE,
    "sheddable-plus": routing_pb2.CRITICALITY_SHEDDABLE_PLUS,
    "critical": routing_pb2.CRITICALITY_CRITICAL,
    "critical-plus": routing_pb2.CRITICALITY_CRITICAL_PLUS,
}


def beyond(grant: Grant, ceiling: Ceiling) -> str:
    """What of a grant is above the ceiling, as the name of a field of KeySpec; empty where nothing is.

    A grant that leaves open what the ceiling bounds is above it: "all models" is more than two of them.
    """
    if ceiling.owners is not None and grant.owner not in ceiling.owners:
        return "owner"
    if ceiling.models is not None and not (grant.models and grant.models <= set(ceiling.models)):
        return "models"
    if ceiling.scopes is not None and not (grant.scopes and grant.scopes <= set(ceiling.scopes)):
        return "scopes"
    if grant.scopes & _above(ceiling):
        return "scopes"
    most = monthly(ceiling)
    budget = grant.limits.usd_per_month
    if most is not None and (budget is None or budget > most):
        return "budget_nano_usd_per_month"
    if ceiling.criticality is not None and _criticality(grant) > _VALUES[ceiling.criticality]:
        return "criticality"
    if ceiling.weight is not None and grant.weight > ceiling.weight:
        return "weight"
    return ""


def within(grant: Grant, ceiling: Ceiling) -> Grant | None:
    """What is left of a grant below a ceiling, which may have been lowered since the key was made; None is nothing.

    What it returns is not `beyond` the ceiling, and allows nothing that the grant did not.
    """
    if ceiling.owners is not None and grant.owner not in ceiling.owners:
        return None
    models, scopes = grant.models, grant.scopes
    if ceiling.models is not None:
        models = models & set(ceiling.models) if models else frozenset(ceiling.models)
        if not models:  # empty would be all
            return None
    if ceiling.scopes is not None:
        allowed: frozenset[str] = frozenset(ceiling.scopes)
        scopes = scopes & allowed if scopes else allowed - policy.BY_NAME
        if not scopes:
            return None
    if scopes:
        scopes -= _above(ceiling)
        if not scopes:
            return None
    limits = grant.limits
    most = monthly(ceiling)
    if most is not None:
        own = limits.usd_per_month
        limits = dataclasses.replace(limits, usd_per_month=most if own is None else min(own, most))
    criticality, weight = grant.criticality, grant.weight
    if ceiling.criticality is not None and _criticality(grant) > _VALUES[ceiling.criticality]:
        criticality = _VALUES[ceiling.criticality]
    if ceiling.weight is not None:
        weight = min(weight, ceiling.weight)
    return dataclasses.replace(
        grant, models=models, scopes=scopes, limits=limits, criticality=criticality, weight=weight
    )


def _above(ceiling: Ceiling) -> frozenset[str]:
    """Scopes above a ceiling that names no scopes: who is bounded in anything else sees no more than that either."""
    return frozenset() if ceiling.scopes is not None or ceiling == _NONE else policy.BY_NAME


def monthly(ceiling: Ceiling) -> int | None:
    """The ceiling of a month's budget, in whole nano-USD; None is none."""
    usd = ceiling.budget_usd_per_month
    # By the digits that stand in the file: the float nearest to 0.1 is not a tenth.
    return None if usd is None else int(decimal.Decimal(repr(usd)) * _NANO)


def _criticality(grant: Grant) -> int:
    return grant.criticality or routing_pb2.CRITICALITY_CRITICAL
