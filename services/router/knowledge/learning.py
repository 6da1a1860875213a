"""What attempts teach: from how long they took, to how fast model and worker are."""

from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.deadline import to_seconds
from services.router.faults import Kind, Verdict
from services.router.knowledge.prediction import busyness, learned, own_busyness
from services.router.leases import Lease

# Reading time against which an observation counts once; shorter ones say more of what does not depend on length.
_USUAL_TOKENS = 1000.0
_SHORTEST_TOKENS = 100.0
# An elastic target's observation counts for at most this many times what was expected: one hiccup is no trend.
_ROBUST_FACTOR = 4.0
_ROBUST_SAMPLES = 3
# The least that a failure adds to the time expected of a target, and the longest pause that is believed: linkerd's.
_PENALTY_SECONDS = 5.0
_PENALTY_MAX_SECONDS = 300.0


def on_first_content(lease: Lease, seconds: float, now: float) -> None:
    """An attempt began to answer, so long after its start."""
    request, target = lease.generation.request, lease.target
    if request is None or target is None or lease.first_content_seconds is not None:
        return
    worker, speeds, pool = target.worker, target.speeds, request.pool.speeds
    if lease.expected_seconds is not None and learned(request, target):
        request.pool.lateness.observe(seconds - lease.expected_seconds)
    lease.first_content_seconds = seconds
    lease.busy_begun = busyness(worker) - own_busyness(request, worker)
    if worker.elastic:
        first = speeds.first
        first.observe(lease.busy_then, _robust(seconds, first.at(lease.busy_then), first.samples))
        return
    if 0 < worker.capacity <= lease.running_then:
        return  # it has waited for somebody to end, which says nothing of reading
    tokens = lease.waiting_then + lease.uncached_tokens
    step = pool.writing.at(lease.busy_then)
    if pool.settled:
        speeds.on_read(seconds, pool.reading.at(tokens) + step, tokens, now)
    seconds = max(0.0, seconds / speeds.prefill - step)
    pool.reading.observe(tokens, seconds, _USUAL_TOKENS / max(tokens, _SHORTEST_TOKENS))


def on_ended(lease: Lease, outcome: placement.AttemptOutcome, verdict: Verdict, now: float) -> None:
    """An attempt ended, and its lease still stands."""
    request, target = lease.generation.request, lease.target
    if request is None or target is None or lease.epoch != lease.worker.epoch:
        return
    if verdict.kind is Kind.RATE or verdict.kind is Kind.HARD:
        pause = _PENALTY_SECONDS if verdict.retry_after is None else min(verdict.retry_after, _PENALTY_MAX_SECONDS)
        target.speeds.penalise(max(pause, _PENALTY_SECONDS), now)
    tokens = outcome.usage.output_tokens
    if verdict.kind is not Kind.SUCCESS or not tokens:
        return
    request.pool.speeds.lengths.observe(tokens, request.ask.key)
    if lease.first_content_seconds is None or tokens < 2:
        return
    step = (to_seconds(outcome.duration) - lease.first_content_seconds) / (tokens - 1)
    if step <= 0.0:
        return  # it came in one piece
    # How busy it was meanwhile, about: the mean of what it was at the first content and what it is now.
    worker = target.worker
    busy = max(0.0, (lease.busy_begun + busyness(worker) - own_busyness(request, worker)) / 2)
    if worker.elastic:
        writing = target.speeds.writing
        writing.observe(busy, _robust(step, writing.at(busy), writing.samples))
        return
    pool, speeds = request.pool.speeds, target.speeds
    if pool.settled:
        speeds.on_written(step, pool.writing.at(busy), tokens, now)
    pool.writing.observe(busy, step / speeds.decode, min(1.0, tokens / 50))


def _robust(value: float, expected: float, samples: int) -> float:
    return min(value, _ROBUST_FACTOR * expected) if samples >= _ROBUST_SAMPLES else value
