"""One worker as the router knows it: what it reports, what is placed there, how it has been doing."""

from typing import NamedTuple

from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.router.v1 import fleet_pb2 as fleet

from services.config.mesh import WorkerPlace
from services.config.router import Breaker as BreakerSettings
from services.router.breaker import Breaker, State
from services.router.faults import Kind, Verdict

# An engine queues by itself, and its queue keeps its batch full; beyond this many times its capacity a request
# would wait longer than it takes to be told to come back.
QUEUE_FACTOR = 4
# How long a worker that refused for lack of room is left alone where it did not say; and the longest that is believed.
_HOLD_SECONDS = 1.0
_HOLD_MAX_SECONDS = 300.0
# Weight of the newest time to first content: the mean age of what counts is then about five attempts.
_LATENCY_WEIGHT = 0.2

# Vendors: what is placed there does not slow down what runs there, and no queue of ours can be seen.
_ELASTIC_KINDS = frozenset(("openai", "gemini"))


class Pending(NamedTuple):
    """An attempt without content so far: tokens to be read, when it was placed, and when content was expected."""

    tokens: int
    placed_at: float
    expected_seconds: float | None


class Worker:
    """The state of one worker.

    `serving` says whether it is there and takes work; `version` counts the changes that candidates and the fleet show.
    """

    __slots__ = (
        "_bare",
        "_order",
        "_report_lifts_hold",
        "breaker",
        "cache_held",
        "cache_tokens",
        "capacity",
        "context_others",
        "context_placed",
        "context_tokens",
        "elastic",
        "first_content_seconds",
        "heard_at",
        "held_for_room",
        "held_until",
        "leases",
        "name",
        "others",
        "others_tokens",
        "pending",
        "pending_tokens",
        "place",
        "served",
        "serving",
        "status",
        "version",
    )

    def __init__(self, place: WorkerPlace, settings: BreakerSettings) -> None:
        self.place = place
        self.name = place.name
        self.breaker = Breaker(settings)
        self.status: worker_status.WorkerStatus | None = None
        self.heard_at = 0.0
        self.serving = False
        self.capacity = 0
        self.elastic = False
        self.cache_tokens = 0  # that its attention cache holds at most; 0 where that is not known
        self.cache_held = 0.0  # of them, those in use as it last reported
        self.served: dict[str, frozenset[int]] = {}
        self.context_tokens: dict[str, int] = {}
        self.leases = 0
        self.context_placed = 0  # prompt tokens of own leases
        self.context_others = 0.0  # tokens in the cache beyond those, where others have placed something
        self.others = 0
        self.others_tokens = 0  # prompt tokens that wait there beyond those of our own leases, as reported
        self.pending: dict[str, Pending] = {}  # own attempts without content, by id, oldest first
        self.pending_tokens = 0
        self.held_until = 0.0
        self.held_for_room = False
        self.first_content_seconds: float | None = None
        self.version = 0
        self._report_lifts_hold = False
        self._order: tuple[int, int] | None = None
        self._bare = worker_status.WorkerStatus()

    @property
    def epoch(self) -> int:
        """The epoch of the process that last reported; 0 before the first report."""
        return self.status.epoch if self.status is not None else 0

    @property
    def health(self) -> fleet.WorkerHealth:
        """Whether the worker may be chosen, and why not."""
        if self._order is None or self.status is None:
            return fleet.WORKER_HEALTH_UNREACHABLE
        match self.status.state:
            case worker_status.WORKER_STATE_SERVING:
                closed = self.breaker.state is State.CLOSED
                return fleet.WORKER_HEALTH_HEALTHY if closed else fleet.WORKER_HEALTH_EJECTED
            case worker_status.WORKER_STATE_LOADING:
                return fleet.WORKER_HEALTH_LOADING
            case worker_status.WORKER_STATE_DRAINING:
                return fleet.WORKER_HEALTH_DRAINING
        return fleet.WORKER_HEALTH_UNREACHABLE

    @property
    def waiting_tokens(self) -> int:
        """Prompt tokens that are to be read before another prompt is, each counted once."""
        return self.pending_tokens + self.others_tokens

    @property
    def oldest_pending(self) -> Pending | None:
        """The own attempt that has waited longest for its first content."""
        return next(iter(self.pending.values()), None)

    @property
    def full(self) -> bool:
        """Whether it has all it can run and a long queue besides."""
        return 0 < self.capacity * QUEUE_FACTOR <= self.leases + self.others

    def on_status(self, status: worker_status.WorkerStatus, now: float) -> bool:
        """The worker reported. Returns whether anything but the time changed; what is out of date changes nothing."""
        order = (status.epoch, status.sequence)
        if self._order is not None and order < self._order:
            return False
        if status.epoch != self.epoch:
            self._forget()
        returned = self._order is None
        self._order = order
        self.heard_at = now
        self.status = status
        reported = status.running + status.waiting
        # The report counts our own leases too. The rest is load that others placed, and it stands until the next
        # report while our leases come and go: each generation is counted once.
        others = max(0, reported - self.leases)
        if self._report_lifts_hold and (status.capacity == 0 or reported < status.capacity):
            self.held_until, self._report_lifts_hold = 0.0, False
        bare = worker_status.WorkerStatus()
        bare.CopyFrom(status)
        bare.ClearField("sequence")
        changed = returned or others != self.others or bare != self._bare
        if changed:
            self.others = others
            self.others_tokens = max(0, status.queued_tokens - self.pending_tokens)
            self.context_tokens = {served.name: served.context_tokens for served in status.models}
            self.served = {served.name: frozenset(served.capabilities) for served in status.models}
            self._bare = bare
            self.capacity = status.capacity
            self.elastic = status.kind in _ELASTIC_KINDS
            self.cache_tokens = status.kv_capacity_tokens
            self.cache_held = status.kv_usage * status.kv_capacity_tokens
            self.context_others = max(0.0, self.cache_held - self.context_placed) if others else 0.0
            self.serving = status.state == worker_status.WORKER_STATE_SERVING
            self.version += 1
        return changed

    def on_lost(self) -> bool:
        """The worker cannot be reached, or is silent. Returns whether that is news."""
        if self._order is None:
            return False
        # The order is forgotten as well: a worker whose clock was set back must not be banished by its old epoch.
        self._order = None
        self.serving = False
        self.others = self.others_tokens = 0
        self.version += 1
        return True

    def on_leased(self, change: int) -> None:
        """A lease was taken (1) or released (-1)."""
        self.leases += change
        self.version += 1

    def on_pending(self, attempt_id: str, tokens: int, placed_at: float, expected_seconds: float | None) -> None:
        """An attempt waits for its first content."""
        self.pending[attempt_id] = Pending(tokens, placed_at, expected_seconds)
        self.pending_tokens += tokens

    def on_read(self, attempt_id: str) -> None:
        """An attempt's prompt has been read, or nobody waits for it. Saying so twice changes nothing."""
        pending = self.pending.pop(attempt_id, None)
        if pending is not None:
            self.pending_tokens -= pending.tokens

    def on_first_content(self, seconds: float) -> None:
        """An attempt has begun to answer after this long."""
        known = self.first_content_seconds
        self.first_content_seconds = seconds if known is None else known + _LATENCY_WEIGHT * (seconds - known)
        self.version += 1

    def hold(self, verdict: Verdict, now: float) -> None:
        """Leave the worker alone for as long as it asked."""
        if verdict.kind is Kind.HARD and verdict.retry_after is None:
            return
        seconds = _HOLD_SECONDS if verdict.retry_after is None else min(verdict.retry_after, _HOLD_MAX_SECONDS)
        if now + seconds > self.held_until:
            self.held_until = now + seconds
            # A limit that is used up is lack of room; a worker that is away or failing is lack of health.
            self.held_for_room = verdict.kind is Kind.RATE or verdict.reason == "WORKER_SATURATED"
            # Only the worker knows when it has room again; a vendor's limit is not in its reports.
            self._report_lifts_hold = verdict.kind is Kind.AWAY

    def _forget(self) -> None:
        """A new process answers to the name: nothing that was learned of the old one holds."""
        self.breaker.reset()
        self.held_until, self._report_lifts_hold = 0.0, False
        self.first_content_seconds = None
