"""Metrics and log lines of the router's decisions."""

import functools
import time
import zlib
from collections.abc import Callable

import structlog
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import routing_pb2 as routing
from hybridinference.router.v1 import fleet_pb2 as fleet
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.router.breaker import State
from services.router.faults import Kind
from services.router.pools import Pool
from services.router.retries import Stop
from services.router.roster import Roster
from services.router.worker import Worker

LOG = structlog.get_logger()

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_BREAKER = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}
_HEALTHS = {value: name.removeprefix("WORKER_HEALTH_").lower() for name, value in fleet.WorkerHealth.items() if value}
_CRITICALITIES = {
    value: name.removeprefix("CRITICALITY_").lower() for name, value in routing.Criticality.items() if value
}
# A reason from a newer peer must not open a series of its own.
_REASONS = frozenset(name.removeprefix("ERROR_REASON_") for name, _ in reasons.ErrorReason.items())


class Telemetry:
    """Counts every decision; writes a line for a refusal and for a worker that goes or comes back."""

    def __init__(self, registry: CollectorRegistry, *, decision_share: float = 0.0) -> None:
        """Of so many requests, chosen by their ids, the decisions are written to the log."""
        self.reconfigure(decision_share=decision_share)
        self._placements = Counter(
            "hybrid_router_placements_total", "Attempts placed.", ("strategy", "worker"), registry=registry
        )
        self._retries = Counter(
            "hybrid_router_retries_total", "Attempts placed after another failed.", ("worker",), registry=registry
        )
        self._further = Counter(
            "hybrid_router_further_attempts_total",
            "Attempts placed after or beside another, by how they stand to it.",
            ("worker", "kind"),
            registry=registry,
        )
        self._refusals = Counter(
            "hybrid_router_refusals_total",
            "Requests refused, or not tried again, by what the caller was told and what ended the attempts.",
            ("reason", "stop"),
            registry=registry,
        )
        self._outcomes = Counter(
            "hybrid_router_outcomes_total",
            "Attempts ended, by what that says of the worker.",
            ("worker", "outcome"),
            registry=registry,
        )
        self._first_content = Histogram(
            "hybrid_router_first_content_seconds",
            "Time from an attempt's start to its first content.",
            ("worker",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._probes = Counter(
            "hybrid_router_probes_total",
            "Small generations of the router's own at workers that had nothing to do, by what they say of them.",
            ("worker", "outcome"),
            registry=registry,
        )
        self._sheds = Counter(
            "hybrid_router_sheds_total",
            "Requests refused for want of room or time.",
            ("model", "reason", "criticality"),
            registry=registry,
        )
        self._spills = Counter(
            "hybrid_router_spills_total",
            "Requests that went to a fallback for want of room, or of time, at the primary routes.",
            ("model", "provider"),
            registry=registry,
        )
        self._leases = Gauge("hybrid_router_leases", "Attempts placed and not ended.", ("worker",), registry=registry)
        self._breaker = Gauge(
            "hybrid_router_breaker_state",
            "0: attempts pass, 1: one probes, 2: none pass.",
            ("worker",),
            registry=registry,
        )
        self._health = Gauge(
            "hybrid_router_worker_health",
            "1 for the health that a worker has, 0 for the others.",
            ("worker", "health"),
            registry=registry,
        )
        self._waiting = Gauge("hybrid_router_waiting", "Requests that wait for room.", ("model",), registry=registry)
        self._oldest = Gauge(
            "hybrid_router_waiting_oldest_seconds",
            "How long the one has waited that has waited longest.",
            ("model",),
            registry=registry,
        )

    def reconfigure(self, *, decision_share: float) -> None:
        """From now on the decisions of such a share of requests are written to the log."""
        self._logged_below = decision_share * 2**32

    def watch(self, roster: Roster, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Tell of the workers and the models, and of no others, as they are when somebody looks."""
        for gauge in (self._leases, self._breaker, self._health, self._waiting, self._oldest):
            gauge.clear()
        for model, pool in roster.models.items():
            self._waiting.labels(model).set_function(functools.partial(_waiting, pool))
            self._oldest.labels(model).set_function(functools.partial(_oldest, pool, clock))
        for name, worker in roster.workers.items():
            self._leases.labels(name).set_function(functools.partial(_leases, worker))
            self._breaker.labels(name).set_function(functools.partial(_breaker, worker))
            for value, label in _HEALTHS.items():
                self._health.labels(name, label).set_function(functools.partial(_has_health, worker, value))

    def placed(self, strategy: str, worker: str, number: int, kind: str = "") -> None:
        """Count a placement."""
        self._placements.labels(strategy, worker).inc()
        if kind == "retry":
            self._retries.labels(worker).inc()
        if kind:
            self._further.labels(worker, kind).inc()

    def decided(self, model: str, generation_id: str, decision: routing.Decision) -> None:
        """Write some decisions down."""
        # By id, so that of a request every decision is there, or none.
        if zlib.crc32(generation_id.encode()) >= self._logged_below:
            return
        LOG.info(
            "generation.decided",
            model=model,
            generation_id=generation_id,
            strategy=decision.strategy,
            targets=decision.targets,
            eligible=decision.eligible,
            candidates=[_candidate(candidate) for candidate in decision.candidates],
            ruled_out=dict(decision.ruled_out),
        )

    def refused(self, model: str, reason: str, generation_id: str, stop: Stop | None) -> None:
        """Count a refusal, and say why."""
        label = reason if reason in _REASONS else "UNSPECIFIED"
        self._refusals.labels(label, stop.value if stop else "").inc()
        fields = {"stop": stop.value} if stop else {}
        known = (
            stop is not None or label != "MODEL_NOT_FOUND"
        )  # else it is whatever the caller wrote, which may be anything
        LOG.info(
            "generation.refused", model=model if known else "other", reason=label, generation_id=generation_id, **fields
        )

    def first_content(self, worker: str, seconds: float) -> None:
        """Observe a latency."""
        self._first_content.labels(worker).observe(seconds)

    def ended(self, worker: str, kind: Kind) -> None:
        """Count an outcome."""
        self._outcomes.labels(worker, kind.value).inc()

    def shed(self, model: str, reason: str, criticality: int) -> None:
        """Count a request that was refused for want of room or time."""
        self._sheds.labels(model, reason, _CRITICALITIES.get(criticality, "critical_plus")).inc()

    def spilled(self, model: str, provider: str) -> None:
        """Count a request that a fallback serves in place of a primary route."""
        self._spills.labels(model, provider).inc()

    def probed(self, worker: str, kind: Kind) -> None:
        """Count a probe."""
        self._probes.labels(worker, kind.value).inc()

    def health(self, worker: str, health: fleet.WorkerHealth) -> None:
        """Say that a worker went, or came back."""
        log = LOG.info if health == fleet.WORKER_HEALTH_HEALTHY else LOG.warning
        log("worker.health_changed", worker=worker, health=_HEALTHS[health])


def _candidate(candidate: routing.CandidateScore) -> dict[str, object]:
    scored = {"score": candidate.score} if candidate.HasField("score") else {}
    return {"worker": candidate.worker, "provider_model": candidate.provider_model, **scored, **candidate.terms}


def _leases(worker: Worker) -> float:
    return worker.leases


def _breaker(worker: Worker) -> float:
    return _BREAKER[worker.breaker.state]


def _has_health(worker: Worker, health: int) -> float:
    return float(worker.health == health)


def _waiting(pool: Pool) -> float:
    return len(pool.admission.queue)


def _oldest(pool: Pool, clock: Callable[[], float]) -> float:
    since = min((waiter.since for waiter in pool.admission.queue), default=None)
    return 0.0 if since is None else max(0.0, clock() - since)
