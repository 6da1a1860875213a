"""What a request is expected to take at a target: one answer for all who ask."""

from typing import NamedTuple

from services.router.request import Request
from services.router.target import Target
from services.router.worker import Worker

# Tokens of context that slow down a step of an engine as much as another generation does: 4.4e-8 s for each that is
# read, against 3e-5 s for a sequence, of an 8B model on a large GPU.
_CONTEXT_TOKENS = 700.0
# An attempt that has waited this many times longer than expected, and half a second more, shows that the worker hangs.
_LATE_FACTOR = 2.0
_LATE_SECONDS = 0.5


class Prediction(NamedTuple):
    """What a request is expected to take, in seconds.

    Attributes:
        wait_seconds: before its prompt is read.
        reading_seconds: for reading the prompt. For an elastic target, all until the first token.
        step_seconds: for each token of the answer.
    """

    wait_seconds: float
    reading_seconds: float
    step_seconds: float

    @property
    def first_content_seconds(self) -> float:
        """Until the first content."""
        return self.wait_seconds + self.reading_seconds + self.step_seconds

    def whole_seconds(self, output_tokens: float) -> float:
        """Until the end of an answer of so many tokens."""
        return self.wait_seconds + self.reading_seconds + output_tokens * self.step_seconds


def predict(request: Request, target: Target, now: float) -> Prediction:
    """What the request is expected to take at the target, if it is placed there now."""
    return expected(request, target, request.uncached_tokens(target.position), now)


def learned(request: Request, target: Target) -> bool:
    """Whether a prediction for the target rests on anything that was seen."""
    speeds = target.speeds if target.worker.elastic else request.pool.speeds
    return speeds.samples > 0


def expected(
    request: Request, target: Target, uncached_tokens: float, now: float, *, slowness: bool = True, age: bool = True
) -> Prediction:
    """What it would take with so many of its tokens to be read.

    Args:
        request: what is to be placed.
        target: where.
        uncached_tokens: tokens of its prompt that have to be read.
        now: when.
        slowness: whether what is known of this worker alone counts.
        age: whether one that keeps somebody waiting far too long is expected to go on so.
    """
    worker, speeds = target.worker, target.speeds
    wait = _lateness(worker, now) if age and worker.progress.pending else 0.0
    busy = busyness(worker)
    if worker.elastic:
        step = speeds.writing.at(busy)
        return Prediction(wait, max(0.0, speeds.first.at(busy) - step), step)
    pool = request.pool.speeds
    reading, writing = pool.reading, pool.writing
    prefill, decode = (speeds.prefill, speeds.decode) if slowness else (1.0, 1.0)
    step = decode * (writing.base + writing.slope * busy)
    ahead = prefill * reading.slope * worker.waiting_tokens
    if ahead > wait:  # noqa: PLR1730 - asked of every target for every request, and `max` takes three times as long
        wait = ahead
    if worker.cache_held or 0 < worker.capacity <= worker.leases + worker.others:
        wait = max(wait, _ending(request, worker, uncached_tokens) * request.output_tokens * step)
    return Prediction(wait, prefill * (reading.base + reading.slope * uncached_tokens), step)


def own_busyness(request: Request, worker: Worker) -> float:
    """What a request adds to the busyness of its worker."""
    return 1.0 if worker.elastic else 1.0 + request.input_tokens / _CONTEXT_TOKENS


def busyness(worker: Worker) -> float:
    """What slows the steps of an engine: generations that run there, and the contexts that each step reads.

    In generations without context. Those that wait for a place in the batch do not count. Of an elastic worker, it is
    the number of generations.
    """
    running = worker.leases + worker.others
    if worker.elastic:
        return running
    busy = running + (worker.context_placed + worker.context_others) / _CONTEXT_TOKENS
    return busy * worker.capacity / running if 0 < worker.capacity < running else busy


def _ending(request: Request, worker: Worker, uncached_tokens: float) -> float:
    """The share of what runs there that has to end before the request can begin: for a place in the batch, for memory.

    Each of those that run ends once in the time that an answer takes.
    """
    share = 0.0
    running, capacity = worker.leases + worker.others, worker.capacity
    if 0 < capacity <= running:
        share = (running - capacity + 1) / capacity
    held = worker.cache_held
    if held > 0.0:
        lacking = held + worker.waiting_tokens + uncached_tokens + request.output_tokens - worker.cache_tokens
        share = max(share, lacking / held)
    return share


def _lateness(worker: Worker, now: float) -> float:
    """Age of the attempt that has waited longest there, if that is far longer than was expected; else 0."""
    oldest = worker.progress.oldest
    if oldest is None:
        return 0.0
    age = now - oldest.placed_at
    return age if age > _LATE_FACTOR * (oldest.expected_seconds or 0.0) + _LATE_SECONDS else 0.0
