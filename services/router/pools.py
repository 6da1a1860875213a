"""Pools: the workers that can serve each model, and which of them may take a request now."""

from collections.abc import Collection, Iterable, Mapping

from services.config.mesh import MeshConfig, Model
from services.inference.capabilities import DROPPABLE
from services.router.budget import RetryBudget
from services.router.policies.strategy import Candidate
from services.router.policies.table import new_strategy
from services.router.worker import Worker


class Target:
    """One way to serve a model: a worker, and what to ask it for."""

    __slots__ = ("_candidate", "_version", "drops", "fallback", "position", "provider_model", "turn", "worker")

    def __init__(self, worker: Worker, provider_model: str, *, fallback: bool, drops: bool = False) -> None:
        self.worker = worker
        self.provider_model = provider_model
        self.fallback = fallback
        self.drops = drops  # whether parameters that the provider does not have are left out
        self.position = 0
        self.turn = 0
        self._candidate: Candidate | None = None
        self._version = -1

    def on_placed(self, turn: int) -> None:
        """The model was placed here, for the turn-th time in all."""
        self.turn = turn
        self._version = -1

    def capable(self, needs: Collection[int]) -> bool | None:
        """Whether the worker can do it, less what the route leaves out; None where it has not said."""
        served = self.worker.served.get(self.provider_model)
        if served is None:
            return None
        return served.issuperset(needs) or (self.drops and not self.lacks(needs))

    def lacks(self, needs: Collection[int]) -> set[int]:
        """What the worker has not and the route does not leave out."""
        served = self.worker.served.get(self.provider_model, frozenset())
        return {need for need in needs if need not in served and not (self.drops and need in DROPPABLE)}

    def has_all(self, needs: Collection[int]) -> bool:
        """Whether nothing would be left out."""
        return self.worker.served[self.provider_model].issuperset(needs)

    def ready(self, needs: Collection[int], at: float) -> bool:
        """Whether an attempt may be placed here that begins at that time."""
        worker = self.worker
        return (
            worker.serving
            and worker.breaker.admits(at)
            and worker.held_until <= at
            and not worker.full
            and self.capable(needs) is True
        )

    def candidate(self) -> Candidate:
        """What a strategy sees. Built anew only after a change, so that an event costs one worker's view, not all."""
        if self._candidate is None or self._version != self.worker.version:
            self._candidate = self._seen()
            self._version = self.worker.version
        return self._candidate

    def _seen(self) -> Candidate:
        worker, status = self.worker, self.worker.status
        return Candidate(
            position=self.position,
            worker=worker.name,
            provider=worker.place.provider,
            provider_model=self.provider_model,
            fallback=self.fallback,
            leases=worker.leases,
            others=worker.others,
            running=status.running if status else 0,
            waiting=status.waiting if status else 0,
            capacity=worker.capacity,
            kv_usage=status.kv_usage if status and status.HasField("kv_usage") else None,
            queued_tokens=status.queued_tokens if status else 0,
            first_content_seconds=worker.first_content_seconds,
            turn=self.turn,
        )


class Pool:
    """The targets of one model, in an order that does not depend on the configuration's."""

    def __init__(self, model: Model, targets: Iterable[Target], config: MeshConfig) -> None:
        self.model = model.name
        self.strategy = new_strategy(model.strategy)
        self.targets = sorted(targets, key=lambda t: (t.worker.name, t.provider_model, t.fallback, t.drops))
        for position, target in enumerate(self.targets):
            target.position = position
        self.primaries = [target for target in self.targets if not target.fallback]
        self.fallbacks = [target for target in self.targets if target.fallback]
        self.workers = {target.worker.name: target.worker for target in self.targets}
        self.budget = RetryBudget(config.router.retry)
        self.turns = 0

    def candidates(
        self, needs: Collection[int], tried: Collection[str], *, now: float, later: float
    ) -> tuple[list[Candidate], float]:
        """Who may take the next attempt, and when it begins.

        Primary routes first, nobody twice while another is left, and of one kind first those that leave nothing out.

        Args:
            needs: capabilities.
            tried: names of workers that have failed this request.
            now: when an attempt may begin on a worker that has not been tried.
            later: when one may after the backoff, on a worker that has.
        """
        phases = ((False, now), (False, later), (True, later)) if tried else ((False, now),)
        for again, at in phases:
            for group in (self.primaries, self.fallbacks):
                ready = [t for t in group if (t.worker.name in tried) is again and t.ready(needs, at)]
                if any(t.drops for t in ready):
                    ready = [t for t in ready if t.has_all(needs)] or ready
                if ready:
                    return [t.candidate() for t in ready], at
        return [], now

    def place(self, chosen: Candidate) -> Target:
        """The target of a candidate, now the most recently used one."""
        target = self.targets[chosen.position]
        self.turns += 1
        target.on_placed(self.turns)
        return target


def build(config: MeshConfig) -> tuple[Mapping[str, Worker], Mapping[str, Pool]]:
    """Every worker by name, and the pool of every model by name."""
    places = sorted(config.workers(), key=lambda place: place.name)
    workers = {place.name: Worker(place, config.router.breaker) for place in places}
    pools = {}
    for model in config.models:
        targets = {
            (worker.name, config.provider_model(route), route.role, route.on_unsupported): Target(
                worker,
                config.provider_model(route),
                fallback=route.role == "fallback",
                drops=route.on_unsupported == "drop",
            )
            for route in model.routes
            for worker in workers.values()
            if worker.place.provider == route.provider
        }
        pools[model.name] = Pool(model, targets.values(), config)
    return workers, pools
