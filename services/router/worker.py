"""One worker as the router knows it: what it reports, what is placed there, how it has been doing."""

import math
from collections.abc import Mapping

from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.router.v1 import fleet_pb2 as fleet

from services.config.places import WorkerPlace
from services.config.router import Breaker as BreakerSettings
from services.config.router import Router
from services.router.breaker import Breaker, State
from services.router.faults import Verdict
from services.router.holds import Holds
from services.router.progress import Pending, Progress

# An engine that queues by itself is given this share more than it can run, at least one, so that its batch is full
# again with the next step: news of an end and what is placed upon it take some milliseconds, about as long as a step,
# and of n answers of some 300 tokens n/300 end with each step. More would only wait there, where no order holds.
_SLACK = 1 / 16
# Kinds of workers that take more than they run. All others refuse it.
_QUEUEING = frozenset(("vllm",))
# Weight of the newest time to first content: the mean age of what counts is then about five attempts.
_LATENCY_WEIGHT = 0.2
# A worker reports at least once a second. What was reported before this long is no longer believed.
STALE_SECONDS = 2.0
_STALL_SECONDS = 3.0
# Vendors: what is placed there does not slow down what runs there, and no queue of ours can be seen.
_ELASTIC_KINDS = frozenset(("openai", "gemini"))


class Worker:
    """The state of one worker.

    `serving` says whether it is there and takes work; `version` counts the changes that candidates and the fleet show:
    whatever could let a filter say something else, time apart.

    A report counts all that runs at the worker, whoever placed it. What it counts beyond our own leases at that moment
    is the others', and stands until the next report, while our own leases come and go: each generation counts once.
    A worker reports within 50 ms of a change, so a lease that it has not seen yet is miscounted for no longer.
    """

    __slots__ = (
        "_bare",
        "_order",
        "_slack",
        "_slow_start_seconds",
        "_warm_from",
        "breaker",
        "cache_held",
        "cache_tokens",
        "capacity",
        "context_others",
        "context_placed",
        "checked",
        "context_tokens",
        "drained",
        "elastic",
        "first_content_seconds",
        "heard_at",
        "holds",
        "leases",
        "name",
        "others",
        "others_tokens",
        "place",
        "progress",
        "served",
        "serving",
        "stalled",
        "status",
        "used_at",
        "version",
        "warm_at",
    )

    def __init__(self, place: WorkerPlace, settings: BreakerSettings, *, slow_start_seconds: float = 0.0) -> None:
        self.place = place
        self.name = place.name
        self.breaker = Breaker(settings)
        self.progress = Progress(_STALL_SECONDS)
        self.status: worker_status.WorkerStatus | None = None
        self.heard_at = 0.0
        self.serving = False
        self.checked = True  # what its health service says; true as well where it has none
        self.drained = False  # operators have taken it out of service
        self.capacity = 0
        self._slack = 0
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
        self.holds = Holds()
        self.warm_at = self._warm_from = 0.0  # the slow start's end, and its beginning
        self.stalled = False  # as of the last look at the time
        self.used_at = 0.0  # when an attempt last went there, or went well
        self.first_content_seconds: float | None = None
        self.version = 0
        self._slow_start_seconds = slow_start_seconds
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
                if self.drained or not self.checked:
                    return fleet.WORKER_HEALTH_DRAINING
                if self.breaker.state is not State.CLOSED:
                    return fleet.WORKER_HEALTH_EJECTED
                return fleet.WORKER_HEALTH_STALLED if self.stalled else fleet.WORKER_HEALTH_HEALTHY
            case worker_status.WORKER_STATE_LOADING:
                return fleet.WORKER_HEALTH_LOADING
            case worker_status.WORKER_STATE_DRAINING:
                return fleet.WORKER_HEALTH_DRAINING
        return fleet.WORKER_HEALTH_UNREACHABLE

    @property
    def pending(self) -> Mapping[str, Pending]:
        """Own attempts without content, by id, oldest first."""
        return self.progress.pending

    @property
    def pending_tokens(self) -> int:
        """Their prompt tokens."""
        return self.progress.tokens

    @property
    def waiting_tokens(self) -> int:
        """Prompt tokens that are to be read before another prompt is, each counted once."""
        return self.progress.tokens + self.others_tokens

    @property
    def oldest_pending(self) -> Pending | None:
        """The own attempt that has waited longest for its first content, of those that may still get it."""
        return self.progress.oldest

    @property
    def places(self) -> int:
        """Most generations that are placed there at once; 0 where no limit is known."""
        return self.capacity + self._slack

    @property
    def queues(self) -> bool:
        """Whether it takes more than it can run at once, and keeps it until there is room."""
        return self._slack > 0

    @property
    def full(self) -> bool:
        """Whether it has all it can run, and what keeps its batch full besides."""
        return 0 < self.capacity + self._slack <= self.leases + self.others

    def hesitant(self, at: float) -> tuple[str, float]:
        """Why others are preferred where there are any, `stalled` or `slow_start`, and when that is to be asked again.

        Empty where there is no reason.
        """
        silent_at = self.heard_at + STALE_SECONDS
        if at >= silent_at:
            return "stalled", math.inf
        stalls, changes_at = self.progress.bars(at)
        if stalls:
            return "stalled", changes_at
        if at < self.warm_at:
            # 1, 2, 4, … at once, doubling each second: caches are cold, and it may fail again.
            second = int(max(0.0, at - self._warm_from))
            if self.leases + self.others >= 1 << second:
                return "slow_start", min(self._warm_from + second + 1, self.warm_at, silent_at, changes_at)
        return "", min(silent_at, changes_at)

    def on_status(self, status: worker_status.WorkerStatus, now: float) -> bool:
        """The worker reported. Returns whether anything but the time changed; what is out of date changes nothing."""
        order = (status.epoch, status.sequence)
        if self._order is not None and order < self._order:
            return False
        before = self.status
        if self._order == order and status == before:
            # Told twice. Our leases have changed since it was true, so that it must not be reckoned up again.
            self.version += now >= self.heard_at + STALE_SECONDS
            self.heard_at = now
            return False
        if status.epoch != self.epoch:
            self._forget(now)
        elif before is not None and status.emitted > before.emitted:
            self._moves(now)
        if now >= self.heard_at + STALE_SECONDS:
            self.version += 1
        if before is not None and _begins_to_serve(before, status):
            self.begin_slow_start(now)
        returned = self._order is None
        self._order = order
        self.heard_at = now
        self.status = status
        reported = status.running + status.waiting
        others = max(0, reported - self.leases)
        if (status.capacity == 0 or reported < status.capacity) and self.holds.on_room():
            self.version += 1
        bare = worker_status.WorkerStatus()
        bare.CopyFrom(status)
        for field in ("sequence", "emitted", "prefixes"):
            bare.ClearField(field)
        changed = returned or others != self.others or bare != self._bare
        if changed:
            self.others = others
            self.others_tokens = max(0, status.queued_tokens - self.progress.tokens)
            self._offer(
                {served.name: frozenset(served.capabilities) for served in status.models},
                {served.name: served.context_tokens for served in status.models},
            )
            self._bare = bare
            self.capacity = status.capacity
            queues = status.capacity and status.kind in _QUEUEING
            self._slack = max(1, int(status.capacity * _SLACK)) if queues else 0
            self.elastic = status.kind in _ELASTIC_KINDS
            self.cache_tokens = status.kv_capacity_tokens
            self.cache_held = status.kv_usage * status.kv_capacity_tokens
            self.context_others = max(0.0, self.cache_held - self.context_placed) if others else 0.0
            self._serve()
            self.version += 1
        return changed

    def on_checked(self, well: bool) -> None:
        """The worker's health service says whether it takes work."""
        if well != self.checked:
            self.checked = well
            self._serve()
            self.version += 1

    def on_drained(self, drained: bool) -> None:
        """Operators have taken it out of service, or back into it."""
        if drained != self.drained:
            self.drained = drained
            self._serve()
            self.version += 1

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

    def on_time(self, now: float) -> None:
        """Time has passed: a report may be too old to be believed, and an attempt may have waited for too long."""
        silent = now >= self.heard_at + STALE_SECONDS
        if silent and self.others:
            self.others = self.others_tokens = 0
            self.version += 1
        stalled = self.progress.look(now) or (silent and self.serving)
        if stalled is not self.stalled:
            self.stalled = stalled
            self.version += 1

    def on_leased(self, change: int) -> None:
        """A lease was taken (1) or released (-1)."""
        self.leases += change
        self.version += 1

    def on_pending(self, attempt_id: str, tokens: int, placed_at: float, expected_seconds: float | None) -> None:
        """An attempt waits for its first content."""
        self.progress.on_waiting(attempt_id, Pending(tokens, placed_at, expected_seconds))
        self.used_at = max(self.used_at, placed_at)

    def on_read(self, attempt_id: str) -> None:
        """An attempt's prompt has been read, or nobody waits for it. Saying so twice changes nothing."""
        self.progress.on_left(attempt_id)
        self.version += 1

    def on_first_content(self, seconds: float, now: float) -> None:
        """An attempt has begun to answer after this long."""
        known = self.first_content_seconds
        usual = seconds if known is None else known + _LATENCY_WEIGHT * (seconds - known)
        self.first_content_seconds = usual
        self.progress.on_first_content(usual, now)
        self.used_at = now
        self.version += 1

    def on_success(self, now: float) -> None:
        """An attempt has ended well."""
        self._moves(now)
        self.used_at = now

    def hold(self, verdict: Verdict, now: float, provider_model: str) -> None:
        """Leave the worker, or that model of it, alone for as long as it asked."""
        self.holds.add(verdict, now, provider_model)
        self.version += 1

    def on_probe(self, now: float) -> bool:
        """A small generation of the router's own goes there. Returns whether the breaker waits for it."""
        self.version += 1
        return self.breaker.on_placed(now)

    def _moves(self, now: float) -> None:
        if self.progress.stalled(now):
            self.version += 1
        self.progress.on_moved(now)

    def _offer(self, served: dict[str, frozenset[int]], context_tokens: dict[str, int]) -> None:
        """What it serves: other objects only where it is something else, so that who remembers it can tell at once."""
        if served != self.served or context_tokens != self.context_tokens:
            self.served, self.context_tokens = served, context_tokens

    def reconfigure(self, settings: Router) -> None:
        """Go by other settings from now on. A slow start that is under way goes on as it began."""
        self.breaker.reconfigure(settings.breaker)
        self._slow_start_seconds = settings.slow_start_seconds

    def begin_slow_start(self, now: float) -> None:
        """It has come, or come back: it is given more bit by bit."""
        self._warm_from, self.warm_at = now, now + self._slow_start_seconds
        self.version += 1

    def _serve(self) -> None:
        state = self.status.state if self.status is not None and self._order is not None else None
        self.serving = self.checked and not self.drained and state == worker_status.WORKER_STATE_SERVING

    def _forget(self, now: float) -> None:
        """A new process answers to the name: nothing that was learned of the old one holds."""
        self.breaker.reset()
        self.progress.reset(now)
        self.holds.clear()
        self.first_content_seconds = None


def _begins_to_serve(before: worker_status.WorkerStatus, status: worker_status.WorkerStatus) -> bool:
    """Whether a worker that was known begins to serve. One that is new to a new router may have served for long."""
    serving = worker_status.WORKER_STATE_SERVING
    return status.state == serving and (before.state != serving or before.epoch != status.epoch)
