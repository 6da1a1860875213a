"""Metrics and log lines of the router's decisions."""

import time
import zlib
from collections.abc import Callable

import structlog
from hybridinference.inference.v1 import routing_pb2 as routing
from hybridinference.router.v1 import fleet_pb2 as fleet
from prometheus_client import CollectorRegistry

from services.chassis import declared
from services.chassis.children import Children
from services.config.strategy import NAMES
from services.inference import labels
from services.inference.attempts import FIRST
from services.router.faults import Kind
from services.router.gauges import HEALTHS, Gauges
from services.router.leases import Generation
from services.router.retries import Stop
from services.router.roster import Roster
from services.router.target import ROLES, Target

LOG = structlog.get_logger()

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_CRITICALITIES = {
    value: name.removeprefix("CRITICALITY_").lower() for name, value in routing.Criticality.items() if value
}

_OUTCOME = declared.one_of("outcome", (kind.value for kind in Kind), "what an attempt's end says of its worker")
_STRATEGY = declared.one_of("strategy", (*NAMES, ""), "which placed it; empty where that is not known")

PLACEMENTS = declared.Counter(
    "hybrid_router_placements_total",
    "Attempts placed, by the role of the route and by how they stand to their request's others.",
    (_STRATEGY, labels.WORKER, declared.one_of("role", ROLES), labels.KIND),
)
OUTCOMES = declared.Counter(
    "hybrid_router_outcomes_total",
    "Attempts ended, by what that says of the worker.",
    (_STRATEGY, labels.WORKER, _OUTCOME),
)
REFUSALS = declared.Counter(
    "hybrid_router_refusals_total",
    "Requests refused, or not tried again, by what the caller was told and what ended the attempts.",
    (
        labels.REASON,
        declared.one_of("stop", (*(stop.value for stop in Stop), ""), "why no attempt followed another"),
    ),
)
FIRST_CONTENT = declared.Histogram(
    "hybrid_router_first_content_seconds",
    "Time from an attempt's start to its first content.",
    (labels.WORKER,),
    buckets=_SECONDS,
)
WAITS = declared.Histogram(
    "hybrid_router_wait_seconds",
    "How long requests waited for room, of those that had to.",
    (labels.MODEL, declared.one_of("outcome", ("placed", "refused"))),
    buckets=_SECONDS,
)
PROBES = declared.Counter(
    "hybrid_router_probes_total",
    "Small generations of the router's own at workers that had nothing to do, by what they say of them.",
    (labels.WORKER, _OUTCOME),
)
SHEDS = declared.Counter(
    "hybrid_router_sheds_total",
    "Requests refused for want of room or time.",
    (labels.MODEL, labels.REASON, declared.one_of("criticality", _CRITICALITIES.values())),
)
SPILLS = declared.Counter(
    "hybrid_router_spills_total",
    "Requests that went to a fallback for want of room, or of time, at the primary routes.",
    (labels.MODEL, labels.PROVIDER),
)


class Telemetry:
    """Counts every decision; writes a line for a refusal and for a worker that goes or comes back."""

    def __init__(self, registry: CollectorRegistry, *, decision_share: float = 0.0) -> None:
        """Of so many requests, chosen by their ids, the decisions are written to the log."""
        self.reconfigure(decision_share=decision_share)
        self._placements = Children(PLACEMENTS.on(registry))
        self._refusals = Children(REFUSALS.on(registry))
        self._outcomes = Children(OUTCOMES.on(registry))
        self._first_content = Children(FIRST_CONTENT.on(registry))
        self._waits = Children(WAITS.on(registry))
        self._probes = Children(PROBES.on(registry))
        self._sheds = Children(SHEDS.on(registry))
        self._spills = Children(SPILLS.on(registry))
        self._gauges = Gauges(registry)

    def reconfigure(self, *, decision_share: float) -> None:
        """From now on the decisions of such a share of requests are written to the log."""
        self._logged_below = decision_share * 2**32

    def watch(self, roster: Roster, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Tell of the workers and the models, and of no others, as they are when somebody looks."""
        self._gauges.watch(roster, clock=clock)

    def placed(self, strategy: str, target: Target, kind: str = "") -> None:
        """Count a placement."""
        self._placements.of(strategy, target.worker.name, target.role, kind or FIRST).inc()

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

    def refused(self, model: str, reason: str, generation_id: str, stop: Stop | None, trace_id: str = "") -> None:
        """Count a refusal, and say why."""
        # One from a newer peer must not open a series of its own.
        label = reason if reason in labels.REASONS else "UNSPECIFIED"
        self._refusals.of(label, stop.value if stop else "").inc()
        fields = {"stop": stop.value} if stop else {}
        known = (
            stop is not None or label != "MODEL_NOT_FOUND"
        )  # else it is whatever the caller wrote, which may be anything
        LOG.info(
            "generation.refused",
            model=model if known else "other",
            reason=label,
            generation_id=generation_id,
            trace_id=trace_id,
            **fields,
        )

    def finished(self, generation: Generation, worker: str, kind: Kind) -> None:
        """Say how a request ended."""
        LOG.info(
            "generation.finished",
            generation_id=generation.id,
            trace_id=generation.trace_id,
            model=generation.model,
            worker=worker,
            outcome=kind.value,
            attempts=generation.attempts,
            continued=generation.continued,
            hedged=generation.hedged,
        )

    def first_content(self, worker: str, seconds: float) -> None:
        """Observe a latency."""
        self._first_content.of(worker).observe(seconds)

    def ended(self, strategy: str, worker: str, kind: Kind) -> None:
        """Count an outcome."""
        self._outcomes.of(strategy, worker, kind.value).inc()

    def waited(self, model: str, seconds: float, *, placed: bool) -> None:
        """Observe how long a request waited."""
        self._waits.of(model, "placed" if placed else "refused").observe(seconds)

    def shed(self, model: str, reason: str, criticality: int) -> None:
        """Count a request that was refused for want of room or time."""
        self._sheds.of(model, reason, _CRITICALITIES.get(criticality, "critical_plus")).inc()

    def spilled(self, model: str, provider: str) -> None:
        """Count a request that a fallback serves in place of a primary route."""
        self._spills.of(model, provider).inc()

    def probed(self, worker: str, kind: Kind) -> None:
        """Count a probe."""
        self._probes.of(worker, kind.value).inc()

    def health(self, worker: str, health: fleet.WorkerHealth) -> None:
        """Say that a worker went, or came back."""
        log = LOG.info if health == fleet.WORKER_HEALTH_HEALTHY else LOG.warning
        log("worker.health_changed", worker=worker, health=HEALTHS[health])


def _candidate(candidate: routing.CandidateScore) -> dict[str, object]:
    scored = {"score": candidate.score} if candidate.HasField("score") else {}
    return {"worker": candidate.worker, "provider_model": candidate.provider_model, **scored, **candidate.terms}
