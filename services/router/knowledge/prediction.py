"""What a request is expected to take at a target: one answer for all who ask."""

from typing import NamedTuple

from services.router.request import Request
from services.router.target import Target

# Tokens of context that slow a step of an engine down as much as another generation does: 4.4e-8 s for each to be read
# against 3e-5 s for a sequence, of an 8B model on a large GPU.
_CONTEXT_TOKENS = 700.0
# An attempt that has waited this many times longer than expected, and half a second more, shows that the worker hangs.
_LATE_FACTOR = 2.0
_LATE_SECONDS = 0.5


class Prediction(NamedTuple):
    """What a request is expected to take, in seconds.

    Attributes:
        wait_seconds: before its prompt is read.
        reading_seconds: for reading the prompt. For an elastic target, all until the first content.
        step_seconds: for each token of the answer.
    """

    wait_seconds: float
    reading_seconds: float
    step_seconds: float

    @property
    def first_content_seconds(self) -> float:
        """Until the first content."""
        return self.wait_seconds + self.reading_seconds + self.step_seconds


def predict(request: Request, target: Target, now: float) -> Prediction:
    """What the request is expected to take at the target, if it is placed there now."""
    return expected(request, target, request.uncached_tokens(target.position), now)


def learned(request: Request, target: Target) -> bool:
    """Whether a prediction for the target rests on anything that was seen."""
    speeds = target.speeds if target.worker.elastic else request.pool.speeds
    return speeds.samples > 0


def expected(request: Request, target: Target, uncached_tokens: float, now: float) -> Prediction:
    """What it would take with so many of its tokens to be read."""
    worker, speeds = target.worker, target.speeds
    running = worker.leases + worker.others
    if worker.elastic:
        step = speeds.writing.at(running)
        return Prediction(_lateness(target, now), max(0.0, speeds.first.at(running) - step), step)
    pool, slowness = request.pool.speeds, speeds.prefill
    reading, capacity = pool.reading, worker.capacity
    step = speeds.decode * pool.writing.at(busyness(target))
    wait = slowness * reading.slope * worker.waiting_tokens
    if 0 < capacity <= running:
        # Each of those that run ends once in the time of an answer, and then the next in line begins.
        wait = max(wait, (running - capacity + 1) * request.output_tokens * step / capacity)
    wait = max(wait, _lateness(target, now))
    return Prediction(wait, slowness * reading.at(uncached_tokens), step)


def own(request: Request) -> float:
    """What a request adds to the busyness of its engine."""
    return 1.0 + request.input_tokens / _CONTEXT_TOKENS


def busyness(target: Target) -> float:
    """What slows an engine's steps: generations that run there and the contexts that they read at each step.

    In generations without context. Those that wait for a place in the batch do not count.
    """
    worker = target.worker
    leases, others = worker.leases, worker.others
    busy = leases + worker.context_placed / _CONTEXT_TOKENS
    if others:
        # Their contexts are as long as ours, for all that is known.
        busy += others * (busy / leases if leases else 1.0)
    capacity, running = worker.capacity, leases + others
    return busy * capacity / running if 0 < capacity < running else busy


def _lateness(target: Target, now: float) -> float:
    """Age of the attempt that has waited longest there, if that is far longer than was expected; else 0."""
    oldest = target.worker.oldest_pending
    if oldest is None:
        return 0.0
    age = now - oldest.placed_at
    return age if age > _LATE_FACTOR * (oldest.expected_seconds or 0.0) + _LATE_SECONDS else 0.0
