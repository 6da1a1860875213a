"""Static rules for when a vendor is asked beside one's own workers. They are there to be compared with."""

import abc
import random
from collections.abc import Sequence
from typing import Literal

from services.router.policies.baselines.ties import least
from services.router.policies.strategy import Strategy
from services.router.request import Request
from services.router.target import Target

Within = Literal["least_loaded", "lmetric"]


class StaticRule(Strategy, abc.ABC):
    """Divides targets into those of one's own and vendors; among either, a fixed rule chooses.

    Args:
        within: who serves among one's own: the one with the least generations, or by LMetric's product (uncached prompt
            tokens, waiting ones included, times generations), which knows of caches.
    """

    def __init__(self, *, within: Within = "least_loaded") -> None:
        if within not in ("least_loaded", "lmetric"):
            raise ValueError(f"within is least_loaded or lmetric, not {within!r}")
        self._within = within

    def choose(self, request: Request, targets: Sequence[Target], now: float, rng: random.Random) -> Target:
        """A vendor where the rule says so or nobody else is left; else one of one's own."""
        own = [target for target in targets if not target.worker.elastic]
        vendors = [target for target in targets if target.worker.elastic]
        if vendors and (not own or self._spills(request, own, rng)):
            return least(vendors, [_cost(request, target) for target in vendors], rng)
        return least(own, [self._burden(request, target) for target in own], rng)

    def _burden(self, request: Request, target: Target) -> float:
        if self._within == "least_loaded":
            return target.load
        return (target.worker.waiting_tokens + request.uncached_tokens(target.position)) * (target.load + 1)

    @abc.abstractmethod
    def _spills(self, request: Request, own: Sequence[Target], rng: random.Random) -> bool:
        """Whether it goes to the vendor."""


def _cost(request: Request, target: Target) -> float:
    """Vendors take nothing for time."""
    return target.cost(request, request.output_tokens, 0.0)


class FixedShare(StaticRule):
    """A vendor gets a share of the requests, by chance."""

    name = "fixed_share"

    def __init__(self, *, percent: float, within: Within = "least_loaded") -> None:
        super().__init__(within=within)
        self._share = percent / 100

    def _spills(self, request: Request, own: Sequence[Target], rng: random.Random) -> bool:
        return rng.random() < self._share


class LocalFirst(StaticRule):
    """A vendor is asked where at each of one's own workers `limit` requests or more wait for their first token."""

    name = "local_first"

    def __init__(self, *, limit: int, within: Within = "least_loaded") -> None:
        super().__init__(within=within)
        self._limit = limit

    def _spills(self, request: Request, own: Sequence[Target], rng: random.Random) -> bool:
        return min(len(target.worker.pending) for target in own) >= self._limit


class CheapestFirst(StaticRule):
    """The cheapest that is not full: a vendor where each of one's own runs `limit` generations or more."""

    name = "cheapest_first"

    def __init__(self, *, limit: int, within: Within = "least_loaded") -> None:
        super().__init__(within=within)
        self._limit = limit

    def _spills(self, request: Request, own: Sequence[Target], rng: random.Random) -> bool:
        return min(target.load for target in own) >= self._limit
