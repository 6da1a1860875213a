"""How much a caller is told. Pure."""

import dataclasses

from hybridinference.gateway.v1 import overview_pb2 as overview

from services.gateway.identity import policy
from services.gateway.identity.grant import ANYBODY, STRANGER, Grant


@dataclasses.dataclass(frozen=True, slots=True)
class Sight:
    """How much a caller is told.

    Attributes:
        extent: how much in all.
        workers: whether workers are told by name.
        models: whether models are told.
        providers: those of which is told; empty is all.
    """

    extent: overview.OverviewExtent
    workers: bool = False
    models: bool = False
    providers: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether everything is told."""
        return self.extent == overview.OVERVIEW_EXTENT_ALL

    def sees(self, provider: str) -> bool:
        """Whether it is told of a provider."""
        return not self.providers or provider in self.providers


def sight_of(grant: Grant, *, show_worker: bool) -> Sight:
    """How much a key's caller is told, where callers may know which worker served them or may not.

    Whoever shows no key hears counts where keys are needed, and everything where they are not. A key hears of what is
    its own; of everything only where its scopes name `overview`.
    """
    if grant == STRANGER:
        return Sight(overview.OVERVIEW_EXTENT_HEALTH)
    if grant == ANYBODY or policy.holds(grant, "overview"):
        return Sight(overview.OVERVIEW_EXTENT_ALL, workers=True, models=True)
    models = policy.holds(grant, "models")
    return Sight(overview.OVERVIEW_EXTENT_OWN, workers=show_worker, models=models, providers=grant.providers)
