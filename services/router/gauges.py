"""How workers and queues are, for whoever scrapes: read when it is asked for, so that no decision pays."""

import functools
from collections.abc import Callable

from hybridinference.router.v1 import fleet_pb2 as fleet
from prometheus_client import CollectorRegistry

from services.chassis import declared
from services.inference import labels
from services.router.breaker import State
from services.router.pools import Pool
from services.router.roster import Roster
from services.router.worker import Worker

HEALTHS = {value: name.removeprefix("WORKER_HEALTH_").lower() for name, value in fleet.WorkerHealth.items() if value}
_BREAKER = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}

LEASES = declared.Gauge("hybrid_router_leases", "Attempts placed and not ended.", (labels.WORKER,))
BREAKER = declared.Gauge(
    "hybrid_router_breaker_state", "0: attempts pass, 1: one probes, 2: none pass.", (labels.WORKER,)
)
HEALTH = declared.Gauge(
    "hybrid_router_worker_health",
    "1 for the health that a worker has, 0 for the others.",
    (labels.WORKER, declared.one_of("health", HEALTHS.values())),
)
MODEL_WORKERS = declared.Gauge(
    "hybrid_router_model_workers", "Healthy workers on the routes of a model, shadows apart.", (labels.MODEL,)
)
WAITING = declared.Gauge("hybrid_router_waiting", "Requests that wait for room.", (labels.MODEL,))
OLDEST = declared.Gauge(
    "hybrid_router_waiting_oldest_seconds", "How long the one has waited that has waited longest.", (labels.MODEL,)
)


class Gauges:
    """The gauges of a router."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._leases = LEASES.on(registry)
        self._breaker = BREAKER.on(registry)
        self._health = HEALTH.on(registry)
        self._workers = MODEL_WORKERS.on(registry)
        self._waiting = WAITING.on(registry)
        self._oldest = OLDEST.on(registry)

    def watch(self, roster: Roster, *, clock: Callable[[], float]) -> None:
        """Tell of the workers and the models, and of no others, as they are when somebody looks."""
        for gauge in (self._leases, self._breaker, self._health, self._workers, self._waiting, self._oldest):
            gauge.clear()
        for model, pool in roster.models.items():
            self._workers.labels(model).set_function(functools.partial(_workers, pool))
            self._waiting.labels(model).set_function(functools.partial(_waiting, pool))
            self._oldest.labels(model).set_function(functools.partial(_oldest, pool, clock))
        for name, worker in roster.workers.items():
            self._leases.labels(name).set_function(functools.partial(_leases, worker))
            self._breaker.labels(name).set_function(functools.partial(_breaker, worker))
            for value, label in HEALTHS.items():
                self._health.labels(name, label).set_function(functools.partial(_has_health, worker, value))


def _leases(worker: Worker) -> float:
    return worker.leases


def _breaker(worker: Worker) -> float:
    return _BREAKER[worker.breaker.state]


def _has_health(worker: Worker, health: int) -> float:
    return float(worker.health == health)


def _workers(pool: Pool) -> float:
    served = {target.worker.name: target.worker for target in pool.targets if target.role != "shadow"}
    return sum(worker.health == fleet.WORKER_HEALTH_HEALTHY for worker in served.values())


def _waiting(pool: Pool) -> float:
    return len(pool.admission.queue)


def _oldest(pool: Pool, clock: Callable[[], float]) -> float:
    since = min((waiter.since for waiter in pool.admission.queue), default=None)
    return 0.0 if since is None else max(0.0, clock() - since)
