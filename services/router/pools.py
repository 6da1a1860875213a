"""Pools: the workers that can serve each model, and which of them may take a request now."""

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from hybridinference.inference.v1 import worker_status_pb2 as worker_status

from services.config import strategy as settings
from services.config.flags import point
from services.config.mesh import MeshConfig
from services.config.model import Model, Route
from services.config.places import spread
from services.config.prices import tariffs
from services.router import rendezvous
from services.router.admission.admission import Admission
from services.router.budget import HedgeBudget, RetryBudget
from services.router.filters import Filters
from services.router.knowledge.lateness import Quantile
from services.router.knowledge.prediction import Prediction, learned, predict
from services.router.knowledge.prefixes import PrefixIndex
from services.router.knowledge.speeds import PoolSpeeds, TargetSpeeds
from services.router.policies.strategy import Strategy
from services.router.request import Request
from services.router.target import Target
from services.router.worker import Worker

NewStrategy = Callable[[settings.Strategy], Strategy]
# What a request is expected to take at a target; None where nothing has been learned.
Predict = Callable[[Request, Target, float], Prediction | None]

# In the order in which they are asked. A request for one worker goes there whatever that serves as.
SERVING = ("canary", "primary", "fallback")
_ANY_ROLE = (*SERVING, "shadow")


def roles_of(request: Request) -> Sequence[str]:
    """The roles that may serve a request, in the order in which they are asked."""
    return _ANY_ROLE if request.ask.worker else SERVING


def may_serve(request: Request, target: Target) -> bool:
    """Whether the target's role lets it serve the request."""
    return target.role in roles_of(request) and (target.role != "canary" or target in request.canary)


def predict_if_learned(request: Request, target: Target, now: float) -> Prediction | None:
    """What is expected by what has been learned."""
    return predict(request, target, now) if learned(request, target) else None


class Pool:
    """The targets of one model, in an order that does not depend on the configuration's."""

    def __init__(self, model: Model, targets: Iterable[Target], config: MeshConfig, strategy: Strategy) -> None:
        self.model = model.name
        self.settings = model
        self._retry = config.router.retry
        self.strategy = strategy
        self.targets = sorted(targets, key=lambda target: target.key)
        for position, target in enumerate(self.targets):
            target.position = position
            target.identity = rendezvous.identity(target.worker.name, target.provider_model, target.role)
        self.slo_seconds = model.slo.first_content_seconds
        self.longest_seconds = config.gateway.timeout_seconds
        self.workers = {target.worker.name: target.worker for target in self.targets}
        self.budget = RetryBudget(self._retry)
        self.hedge, self.continuation, self.flags = config.router.hedge, config.router.continuation, config.flags
        self.hedges = HedgeBudget(self.hedge)
        self.lateness = Quantile(0.95)
        self.prefixes = PrefixIndex(len(self.targets))
        self.speeds = PoolSpeeds()
        self.predict: Predict = predict_if_learned
        self.admission = Admission(model.queue)
        self.turns = 0
        self._by_key = {target.key: target for target in self.targets}
        self._by_worker: dict[Worker, list[Target]] = {}
        for target in self.targets:
            self._by_worker.setdefault(target.worker, []).append(target)
        self._by_role = {
            role: [target for target in self.targets if target.role == role]
            for role in ("primary", "fallback", "canary", "shadow")
        }
        self._dropping = {role for role, group in self._by_role.items() if any(target.drops for target in group)}
        self.filters = Filters(self._by_role)
        self._shares = {role: _by_route(self._by_role[role]) for role in ("canary", "shadow")}

    def inherit(self, before: "Pool") -> None:
        """Take over what an earlier pool of the model has learned, as far as its targets are still there."""
        earlier = [before.counterpart(target) for target in self.targets]
        for target, known in zip(self.targets, earlier, strict=True):
            if known is not None:
                target.turn, target.speeds = known.turn, known.speeds
        slots = [None if known is None else known.position for known in earlier]
        unmoved = slots == list(range(len(before.targets)))
        if unmoved and self.settings.strategy == before.settings.strategy:
            self.strategy = before.strategy
        self.prefixes = before.prefixes.moved(slots)
        self.budget = before.budget.under(self._retry)
        self.hedges = before.hedges.under(self.hedge)
        self.speeds, self.lateness, self.turns = before.speeds, before.lateness, before.turns
        self.admission.inherit(before.admission)

    def counterpart(self, target: Target) -> Target | None:
        """The target here that is the same worker, model and route as one of another pool; None where it has gone."""
        found = self._by_key.get(target.key)
        return found if found is not None and found.worker is target.worker else None

    def canary(self, generation_id: str, *, pinned: bool = False) -> Sequence[Target]:
        """The targets of the canary route that a request falls to: always the same one for the same id, mostly none.

        Of a request that is pinned to a worker all of them: it falls to nothing else.
        """
        return self._by_role["canary"] if pinned else self.fallen_to("canary", generation_id)

    def fallen_to(self, role: str, generation_id: str) -> Sequence[Target]:
        """The targets of the one route of that role to whose share a request falls, mostly none."""
        shares = self._shares[role]
        at = point(role, generation_id) if shares else 0.0
        for route, targets in shares:
            at -= route.share
            if at < 0:
                return targets
        return ()

    def eligible(
        self,
        request: Request,
        tried: Collection[str],
        *,
        now: float,
        later: float,
        roles: Sequence[str] = SERVING,
        again: bool = True,
    ) -> tuple[Sequence[Target], float]:
        """Who may take the next attempt, and when it begins.

        The canary that the request falls to first, then primary routes, then fallbacks; nobody twice while another is
        left, and of one kind first those that leave nothing out.

        Who has come a moment ago is not given more than its share while others are left, but nothing is refused for
        that; nor because nobody seems to get on.

        Args:
            request: what is to be placed.
            tried: names of workers that have failed this request.
            now: when an attempt may begin on a worker that has not been tried.
            later: when one may after the backoff, on a worker that has.
            roles: those that may serve, in order.
            again: whether workers that have been tried may serve, after all others.
        """
        phases = ((False, now), (False, later), (True, later))[: 1 if not tried else 2 + again]
        # Those that seem to be stuck come last of all: better one of them than none.
        for filters in (("", "slow_start"), ("stalled",)):
            for twice, at in phases:
                for role in roles_of(request) if request.ask.worker else roles:
                    for only in filters:
                        ready = self._kept_by(only, request, role, at, remembered=at == now)
                        if tried:
                            ready = [t for t in ready if (t.worker.name in tried) is twice]
                        if role in self._dropping and any(t.drops for t in ready):
                            ready = [t for t in ready if t.has_all(request.needs)] or ready
                        if ready:
                            return ready, at
        return [], now

    def _kept_by(self, only: str, request: Request, role: str, at: float, *, remembered: bool) -> Sequence[Target]:
        """The targets that this filter keeps from the request, and no other; "" is none at all."""
        if role == "canary" and not request.canary:
            return ()
        if remembered:
            kept = self.filters.ready(request, role, at, despite=only)
        else:  # a time to come, of which nothing is remembered
            kept = [t for t in self._by_role[role] if t.ruled_out(request, at) == only]
        return [t for t in kept if t in request.canary] if role == "canary" else kept

    def look_up(self, request: Request) -> None:
        """Find out which targets are expected to have how much of the prompt in their caches."""
        if request.blocks:
            # The last token is always read: its output is what comes next.
            most, size = request.input_tokens - 1, request.block_tokens
            hits: dict[int, int] = {}
            for slots, depth in self.prefixes.levels(request.blocks):
                hits.update(dict.fromkeys(slots, min(depth * size, most)))
            request.hits = hits

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

    def on_prefixes(self, worker: Worker, blocks: Iterable[worker_status.PrefixBlocks]) -> None:
        """The worker tells which prompts it has been sent, by this router and by others."""
        for prompt in blocks:
            for target in self._by_worker[worker]:
                if target.provider_model == prompt.model:
                    self.prefixes.learn(target.position, prompt.hashes)

    def on_reset(self, worker: Worker) -> None:
        """A new process answers to the worker's name, with nothing in its cache."""
        for target in self._by_worker[worker]:
            self.prefixes.forget(target.position)
            target.speeds = TargetSpeeds()
            self.strategy.on_reset(target)


def _by_route(targets: Iterable[Target]) -> Sequence[tuple[Route, Sequence[Target]]]:
    groups: dict[Route, list[Target]] = {}
    for target in targets:
        groups.setdefault(target.route, []).append(target)
    return tuple(groups.items())


def build(
    config: MeshConfig,
    new_strategy: NewStrategy,
    *,
    workers: Iterable[Worker] = (),
    pools: Mapping[str, Pool] = MappingProxyType({}),
    found: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> tuple[Mapping[str, Worker], Mapping[str, Pool], Mapping[str, Pool]]:
    """Every worker by name, the pool of every model by name, and the pools by all names and aliases.

    Args:
        config: what there is to be.
        new_strategy: makes a strategy.
        workers: those of an earlier configuration; one that keeps name, provider and address goes on.
        pools: those of an earlier configuration by the models' names; what they know goes on.
        found: the addresses to which names of workers lead.
    """
    earlier = {worker.place: worker for worker in workers}
    places = sorted((each for place in config.workers() for each in spread(place, found)), key=lambda each: each.name)
    settings, slow_start = config.router.breaker, config.router.slow_start_seconds
    there = {
        place.name: earlier.get(place) or Worker(place, settings, slow_start_seconds=slow_start) for place in places
    }
    made, named = {}, {}
    prices = tariffs(config)
    for model in config.models:
        targets = {
            (worker.name, config.provider_model(route), route.role, route.on_unsupported): Target(
                worker, config.provider_model(route), route, price=prices[route.provider, config.provider_model(route)]
            )
            for route in model.routes
            for worker in there.values()
            if worker.place.provider == route.provider
        }
        pool = Pool(model, targets.values(), config, new_strategy(model.strategy))
        if model.name in pools:
            pool.inherit(pools[model.name])
        made[model.name] = pool
        for name in (model.name, *model.aliases):
            named[name] = pool
    return there, made, named
