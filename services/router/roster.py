"""The roster: every worker and every pool, and what has been learned of them."""

import random
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.router.v1 import fleet_pb2 as fleet

from services.chassis.deadline import to_duration
from services.config.mesh import MeshConfig
from services.config.places import WorkerPlace
from services.router import pools
from services.router.breaker import State
from services.router.drains import Drains
from services.router.faults import Kind, Verdict
from services.router.knowledge import learning
from services.router.leases import Lease
from services.router.observer import Observer
from services.router.policies import table
from services.router.pools import Pool
from services.router.target import ROLES
from services.router.worker import Worker

# How often it is looked at whether time has changed something.
_LOOK_SECONDS = 0.25


class Roster:
    """The fleet as the router knows it. `version` grows with every change that the fleet's watchers may see.

    Attributes:
        workers: every worker, by name.
        models: the pool of every model, by the model's own name.
        pools: the same, by every name and alias that callers may give.
        leaving: workers that are no longer configured and still have leases, by name.
        stirred: names of workers of which there is news since somebody last looked.
        found: the addresses to which names of workers lead; taken up by the next `reconfigure`.
    """

    def __init__(
        self,
        config: MeshConfig,
        observer: Observer,
        *,
        new_strategy: pools.NewStrategy = table.new_strategy,
        found: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        self._observer = observer
        self._new_strategy = new_strategy
        self._changes = 0
        self._looks_at = 0.0
        self.stirred: set[str] = set()
        self.leaving: dict[str, Worker] = {}
        self._renamed: list[Worker] = []  # as those, but another worker has the name now
        self._drains = Drains()
        self.found = found
        self._take(config, *pools.build(config, new_strategy, found=found))

    def reconfigure(self, config: MeshConfig) -> None:
        """Be what another configuration says, in one step; what is known of those that stay, stays known."""
        before = self.version
        known = [*self._renamed, *self.leaving.values(), *self.workers.values()]
        built = pools.build(config, self._new_strategy, workers=known, pools=self.models, found=self.found)
        self._take(config, *built)
        for worker in known:
            worker.reconfigure(config.router)
        gone = [worker for worker in known if worker.leases and self.workers.get(worker.name) is not worker]
        self.leaving = {worker.name: worker for worker in gone if worker.name not in self.workers}
        # These are out of sight, but may come back.
        self._renamed = [worker for worker in gone if self.leaving.get(worker.name) is not worker]
        self._keep_share()
        self.stirred.update(self.workers)
        self._changes += 1 + max(0, before - self.version)

    def drain(self, drains: Drains) -> None:
        """Go by what is out of service now: all of it, each time."""
        self._drains = drains
        for worker in self.workers.values():
            before = worker.health
            worker.on_drained(drains.has(worker.place))
            self._tell(worker, before)
        for pool in self.models.values():
            for target in pool.targets:
                drained = (pool.model, target.worker.place.provider) in drains.routes
                if drained != target.drained:
                    target.drained = drained
                    target.worker.version += 1
        for name, routes in self._routes_to.items():
            for route in routes:
                route.drained = (route.model, self.workers[name].place.provider) in drains.routes
        self.stirred.update(self.workers)
        self._changes += 1

    def forget_idle(self) -> bool:
        """Let go of workers that have left and whose last lease has ended; whether there was one."""
        idle = [worker for worker in self.leaving.values() if not worker.leases]
        for worker in idle:
            del self.leaving[worker.name]
            self._changes += 1 + worker.version
        return bool(idle)

    def _take(
        self, config: MeshConfig, workers: Mapping[str, Worker], models: Mapping[str, Pool], named: Mapping[str, Pool]
    ) -> None:
        self._breaker = config.router.breaker
        self.workers, self.models, self.pools = workers, models, named
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
        self.drain(self._drains)

    @property
    def version(self) -> int:
        """Counts the changes that the fleet shows."""
        return self._changes + sum(worker.version for worker in (*self.workers.values(), *self.leaving.values()))

    def known(self, name: str) -> Worker:
        """The worker of that name. One that is no longer configured still has attempts that must be answered for."""
        return self.workers.get(name) or self.leaving.get(name) or Worker(WorkerPlace(name, "", ""), self._breaker)

    def on_status(self, name: str, status: worker_status.WorkerStatus, now: float) -> None:
        """A worker reported."""
        worker = self._there(name)
        if worker is None:
            return
        self.stirred.add(name)
        before, epoch = worker.health, worker.epoch
        worker.on_status(status, now)
        if worker.epoch != epoch:
            for pool in self._pools_of.get(name, ()):
                pool.on_reset(worker)
        if status.prefixes and status.epoch == worker.epoch:
            for pool in self._pools_of.get(name, ()):
                pool.on_prefixes(worker, status.prefixes)
        self._tell(worker, before)

    def on_checked(self, name: str, *, well: bool) -> None:
        """A worker's health service says whether it takes work. Where it has none, all is well."""
        worker = self._there(name)
        if worker is None:
            return
        self.stirred.add(name)
        before = worker.health
        worker.on_checked(well)
        self._tell(worker, before)

    @property
    def expectant(self) -> bool:
        """Whether a worker has yet to begin an answer: time alone may show that it has stalled."""
        return any(worker.pending for worker in self.workers.values())

    def on_time(self, now: float) -> None:
        """Time has passed. Decisions go by the time themselves; this is for what is shown, and kept in mind."""
        if now < self._looks_at:
            return
        self._looks_at = now + _LOOK_SECONDS
        for worker in self.workers.values():
            before, version = worker.health, worker.version
            worker.on_time(now)
            if worker.version != version:
                self.stirred.add(worker.name)
            self._tell(worker, before)

    def on_lost(self, name: str) -> None:
        """A worker cannot be reached, or is silent."""
        worker = self._there(name)
        if worker is None:
            return
        self.stirred.add(name)
        before = worker.health
        worker.on_lost()
        self._tell(worker, before)

    def on_first_content(self, lease: Lease, seconds: float, now: float) -> None:
        """An attempt has begun to answer."""
        worker = lease.worker
        self.stirred.add(worker.name)
        worker.on_read(lease.attempt_id)
        if lease.epoch != worker.epoch:
            return
        request = lease.generation.request
        if request is not None and lease.target is not None:
            request.pool.on_first_content(request, lease.target, seconds, now)
            learning.on_first_content(lease, seconds, now)
        before = worker.health
        worker.on_first_content(seconds, now)
        if worker.breaker.on_first_content(probe=lease.probe, now=now):
            worker.begin_slow_start(now)
        self._tell(worker, before)

    def on_outcome(self, lease: Lease, verdict: Verdict, now: float, rng: random.Random) -> None:
        """An attempt ended. It says something of its worker only if that is still the same process."""
        worker, probe = lease.worker, lease.probe
        self.stirred.add(worker.name)
        if lease.epoch != worker.epoch:
            return
        request = lease.generation.request
        if request is not None and lease.target is not None:
            seconds, failed = now - lease.placed_at, verdict.kind is Kind.HARD
            request.pool.on_ended(request, lease.target, seconds, now, failed=failed)
        self._judged(worker, verdict, lease.target.provider_model if lease.target else "", now, rng, probe=probe)

    def on_probed(
        self, worker: Worker, epoch: int, verdict: Verdict, model: str, now: float, rng: random.Random, *, probe: bool
    ) -> None:
        """A small generation of the router's own ended, at a model of the worker's.

        Args:
            worker: where.
            epoch: the worker's epoch when it began.
            verdict: how it ended.
            model: the provider's name of the model.
            now: the time.
            rng: for the breaker.
            probe: whether the worker's breaker waits for it.
        """
        if epoch == worker.epoch:
            self._judged(worker, verdict, model, now, rng, probe=probe)
            worker.version += 1
            self.stirred.add(worker.name)
        self._observer.probed(worker.name, verdict.kind)

    def on_vanished(self, lease: Lease) -> None:
        """An attempt ended unseen: its caller or its gateway is gone."""
        self.stirred.add(lease.worker.name)
        if lease.epoch != lease.worker.epoch:
            return
        lease.worker.breaker.on_nothing_learned(probe=lease.probe)
        request = lease.generation.request
        if request is not None and lease.target is not None:
            request.pool.on_vanished(request, lease.target)

    def snapshot(self, now: float) -> list[fleet.FleetWorker]:
        """Every worker as it is seen now, by name; then those that have left and still have leases, without routes."""
        return [self._seen(worker, now) for worker in (*self.workers.values(), *self.leaving.values())]

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
        if worker.status is not None:
            seen.status.ClearField("prefixes")
        if self.workers.get(place.name) is worker:
            seen.routes.extend(self._routes_to[place.name])
        return seen

    def _there(self, name: str) -> Worker | None:
        """The worker of that name; None where it has gone: its last word may come a moment later."""
        return self.workers.get(name) or self.leaving.get(name)

    def _keep_share(self) -> None:
        """Of a pool that has become smaller, take back those whom it cannot do without: the soonest to be tried."""
        for pool in self.models.values():
            out = [worker for worker in pool.workers.values() if worker.breaker.state is not State.CLOSED]
            surplus = len(out) - int(self._breaker.max_ejected_share * len(pool.workers))
            for worker in sorted(out, key=lambda worker: worker.breaker.reopens_at)[: max(0, surplus)]:
                before = worker.health
                worker.breaker.reset()
                self._tell(worker, before)

    def _judged(
        self, worker: Worker, verdict: Verdict, model: str, now: float, rng: random.Random, *, probe: bool
    ) -> None:
        before = worker.health
        match verdict.kind:
            case Kind.SUCCESS:
                worker.on_success(now)
                if worker.breaker.on_success(probe=probe, now=now):
                    worker.begin_slow_start(now)
            case Kind.HARD:
                worker.breaker.on_failure(probe=probe, now=now, rng=rng, may_open=self._may_eject(worker))
            case _:
                worker.breaker.on_nothing_learned(probe=probe)
        if verdict.retryable:
            worker.hold(verdict, now, model)
        self._tell(worker, before)

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
