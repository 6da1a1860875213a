"""Pools: the workers that can serve each model, and which of them may take a request now."""

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from services.config import strategy as settings
from services.config.mesh import MeshConfig
from services.config.model import Model
from services.config.prices import price_of
from services.router import rendezvous
from services.router.budget import RetryBudget
from services.router.knowledge.prefixes import PrefixIndex
from services.router.knowledge.speeds import PoolSpeeds, TargetSpeeds
from services.router.policies.strategy import Strategy
from services.router.request import Request
from services.router.target import Target
from services.router.worker import Worker

NewStrategy = Callable[[settings.Strategy], Strategy]


class Pool:
    """The targets of one model, in an order that does not depend on the configuration's."""

    def __init__(self, model: Model, targets: Iterable[Target], config: MeshConfig, strategy: Strategy) -> None:
        self.model = model.name
        self.strategy = strategy
        self.targets = sorted(targets, key=_order)
        for position, target in enumerate(self.targets):
            target.position = position
            target.identity = rendezvous.identity(target.worker.name, target.provider_model, target.role)
        self.slo_seconds = model.slo.first_content_seconds
        self.workers = {target.worker.name: target.worker for target in self.targets}
        self.budget = RetryBudget(config.router.retry)
        self.prefixes = PrefixIndex(len(self.targets))
        self.speeds = PoolSpeeds()
        self.turns = 0
        self._by_role = {
            role: [target for target in self.targets if target.role == role]
            for role in ("primary", "fallback", "canary", "shadow")
        }

    def eligible(
        self, request: Request, tried: Collection[str], *, now: float, later: float
    ) -> tuple[list[Target], float]:
        """Who may take the next attempt, and when it begins.

        Primary routes first, nobody twice while another is left, and of one kind first those that leave nothing out.

        Args:
            request: what is to be placed.
            tried: names of workers that have failed this request.
            now: when an attempt may begin on a worker that has not been tried.
            later: when one may after the backoff, on a worker that has.
        """
        phases = ((False, now), (False, later), (True, later)) if tried else ((False, now),)
        for again, at in phases:
            for role in ("primary", "fallback"):
                group = [t for t in self._by_role[role] if (t.worker.name in tried) is again]
                ready = [t for t in group if not t.ruled_out(request, at)]
                if any(t.drops for t in ready):
                    ready = [t for t in ready if t.has_all(request.needs)] or ready
                if ready:
                    return ready, at
        return [], now

    def look_up(self, request: Request) -> None:
        """Find out which targets are expected to have how much of the prompt in their caches."""
        if request.blocks:
            # The last token is always read: its output is what comes next.
            most, size = request.input_tokens - 1, request.block_tokens
            request.hits = {at: min(depth * size, most) for at, depth in self.prefixes.match(request.blocks).items()}

    def choose(self, request: Request, targets: Sequence[Target], now: float, rng: random.Random) -> Target:
        """The strategy's choice among the targets."""
        return targets[0] if len(targets) == 1 else self.strategy.choose(request, targets, now, rng)

    def on_placed(self, request: Request, target: Target, now: float) -> None:
        """A request was placed there: its blocks will be in the cache, and it is the most recently used target."""
        self.turns += 1
        target.turn = self.turns
        self.strategy.on_placed(request, target, now)
        if request.blocks:
            if target.worker.cache_tokens:
                self.prefixes.resize(target.position, target.worker.cache_tokens // request.block_tokens)
            self.prefixes.add(target.position, request.blocks)

    def on_first_content(self, request: Request, target: Target, seconds: float, now: float) -> None:
        """An attempt has begun to answer, so long after its start."""
        self.strategy.on_first_content(request, target, seconds, now)

    def on_ended(self, request: Request, target: Target, seconds: float, now: float, *, failed: bool) -> None:
        """An attempt has ended."""
        self.strategy.on_ended(request, target, seconds, now, failed=failed)

    def on_vanished(self, request: Request, target: Target) -> None:
        """An attempt is gone without an end that anybody saw."""
        self.strategy.on_vanished(request, target)

    def on_reset(self, worker: Worker) -> None:
        """A new process answers to the worker's name, with nothing in its cache."""
        for target in self.targets:
            if target.worker is worker:
                self.prefixes.forget(target.position)
                target.speeds = TargetSpeeds()
                self.strategy.on_reset(target)


def build(
    config: MeshConfig, new_strategy: NewStrategy
) -> tuple[Mapping[str, Worker], Mapping[str, Pool], Mapping[str, Pool]]:
    """Every worker by name, the pool of every model by name, and the pools by all names and aliases."""
    places = sorted(config.workers(), key=lambda place: place.name)
    workers = {place.name: Worker(place, config.router.breaker) for place in places}
    pools, named = {}, {}
    for model in config.models:
        prices = {route: price_of(config, route) for route in model.routes}
        targets = {
            (worker.name, config.provider_model(route), route.role, route.on_unsupported): Target(
                worker, config.provider_model(route), route, price=prices[route]
            )
            for route in model.routes
            for worker in workers.values()
            if worker.place.provider == route.provider
        }
        pool = Pool(model, targets.values(), config, new_strategy(model.strategy))
        pools[model.name] = pool
        for name in (model.name, *model.aliases):
            named[name] = pool
    return workers, pools, named


def _order(target: Target) -> tuple[str, str, str, bool]:
    return target.worker.name, target.provider_model, target.role, target.drops
