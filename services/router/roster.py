"""The roster: every worker and every pool, and what has been learned of them."""

import random

from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.router.v1 import fleet_pb2 as fleet

from services.chassis.deadline import to_duration
from services.config.mesh import MeshConfig, WorkerPlace
from services.router import pools
from services.router.breaker import State
from services.router.faults import Kind, Verdict
from services.router.knowledge import learning
from services.router.leases import Lease
from services.router.observer import Observer
from services.router.policies import table
from services.router.target import ROLES
from services.router.worker import Worker


class Roster:
    """The fleet as the router knows it. `version` grows with every change that the fleet's watchers may see.

    Attributes:
        workers: every worker, by name.
        models: the pool of every model, by the model's own name.
        pools: the same, by every name and alias that callers may give.
    """

    def __init__(
        self, config: MeshConfig, observer: Observer, *, new_strategy: pools.NewStrategy = table.new_strategy
    ) -> None:
        self._breaker = config.router.breaker
        self._observer = observer
        self.workers, self.models, self.pools = pools.build(config, new_strategy)
        self._pools_of = {
            name: [pool for pool in self.models.values() if name in pool.workers] for name in self.workers
        }
        self._routes_to: dict[str, list[fleet.FleetRoute]] = {name: [] for name in self.workers}
        for model in config.models:
            for target in self.models[model.name].targets:
                route = fleet.FleetRoute(
                    model=model.name,
                    provider_model=target.provider_model,
                    fallback=target.role == "fallback",
                    drop_unsupported=target.drops,
                    role=ROLES[target.role],
                    aliases=model.aliases,
                )
                self._routes_to[target.worker.name].append(route)

    @property
    def version(self) -> int:
        """Counts the changes that the fleet shows."""
        return sum(worker.version for worker in self.workers.values())

    def known(self, name: str) -> Worker:
        """The worker of that name. One that is no longer configured still has attempts that must be answered for."""
        return self.workers.get(name) or Worker(WorkerPlace(name, "", ""), self._breaker)

    def on_status(self, name: str, status: worker_status.WorkerStatus, now: float) -> None:
        """A worker reported."""
        worker = self.workers[name]
        before, epoch = worker.health, worker.epoch
        worker.on_status(status, now)
        if worker.epoch != epoch:
            for pool in self._pools_of[name]:
                pool.on_reset(worker)
        self._tell(worker, before)

    def on_lost(self, name: str) -> None:
        """A worker cannot be reached, or is silent."""
        worker = self.workers[name]
        before = worker.health
        worker.on_lost()
        self._tell(worker, before)

    def on_first_content(self, lease: Lease, seconds: float, now: float) -> None:
        """An attempt has begun to answer."""
        worker = lease.worker
        worker.on_read(lease.attempt_id)
        if lease.epoch != worker.epoch:
            return
        request = lease.generation.request
        if request is not None and lease.target is not None:
            request.pool.on_first_content(request, lease.target, seconds, now)
            learning.on_first_content(lease, seconds, now)
        before = worker.health
        worker.on_first_content(seconds)
        worker.breaker.on_first_content(probe=lease.probe)
        self._tell(worker, before)

    def on_outcome(self, lease: Lease, verdict: Verdict, now: float, rng: random.Random) -> None:
        """An attempt ended. It says something of its worker only if that is still the same process."""
        worker, probe = lease.worker, lease.probe
        if lease.epoch != worker.epoch:
            return
        request = lease.generation.request
        if request is not None and lease.target is not None:
            seconds, failed = now - lease.placed_at, verdict.kind is Kind.HARD
            request.pool.on_ended(request, lease.target, seconds, now, failed=failed)
        before = worker.health
        match verdict.kind:
            case Kind.SUCCESS:
                worker.breaker.on_success(probe=probe)
            case Kind.HARD:
                worker.breaker.on_failure(probe=probe, now=now, rng=rng, may_open=self._may_eject(worker))
            case _:
                worker.breaker.on_nothing_learned(probe=probe)
        if verdict.retryable:
            worker.hold(verdict, now)
        self._tell(worker, before)

    def on_vanished(self, lease: Lease) -> None:
        """An attempt ended unseen: its caller or its gateway is gone."""
        if lease.epoch != lease.worker.epoch:
            return
        lease.worker.breaker.on_nothing_learned(probe=lease.probe)
        request = lease.generation.request
        if request is not None and lease.target is not None:
            request.pool.on_vanished(request, lease.target)

    def snapshot(self, now: float) -> list[fleet.FleetWorker]:
        """Every worker as it is seen now, by name."""
        return [self._seen(worker, now) for worker in self.workers.values()]

    def _seen(self, worker: Worker, now: float) -> fleet.FleetWorker:
        place = worker.place
        seen = fleet.FleetWorker(
            worker=place.name,
            address=place.address,
            provider=place.provider,
            health=worker.health,
            leases=worker.leases,
            status=worker.status,
            status_age=to_duration(now - worker.heard_at) if worker.status is not None else None,
        )
        if worker.first_content_seconds is not None:
            seen.first_content_latency.CopyFrom(to_duration(worker.first_content_seconds))
        seen.routes.extend(self._routes_to[place.name])
        return seen

    def _may_eject(self, worker: Worker) -> bool:
        """Whether every pool that the worker is in can do without one more. A pool of one never can."""
        for pool in self._pools_of.get(worker.name, ()):
            out = sum(other.breaker.state is not State.CLOSED for other in pool.workers.values())
            if out + 1 > self._breaker.max_ejected_share * len(pool.workers):
                return False
        return True

    def _tell(self, worker: Worker, before: fleet.WorkerHealth) -> None:
        health = worker.health
        if health != before:
            worker.version += 1
            self._observer.health(worker.name, health)
