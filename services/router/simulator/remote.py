"""A worker that asks a vendor."""

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import worker_status_pb2 as worker_status

from services.router.simulator import statuses
from services.router.simulator.call import Attempt
from services.router.simulator.scenario import Scenario
from services.router.simulator.sections import VendorGroup
from services.router.simulator.timeline import Timeline
from services.router.simulator.vendor import Broken, Limited, Served, Vendor
from services.router.simulator.worker import SimulatedWorker


class RemoteWorker(SimulatedWorker):
    """Runs attempts at a vendor's."""

    def __init__(
        self, name: str, group: VendorGroup, timeline: Timeline, scenario: Scenario, seed: int, number: int
    ) -> None:
        super().__init__(name, "openai", timeline, scenario, seed, number)
        self._vendor = Vendor(group.model, number)
        self._slowness = 1.0
        self._stalled_until = 0.0
        self._served: dict[str, Served] = {}

    def _begin(self, attempt: Attempt) -> bool:
        request, now = attempt.call.request, self._timeline.now
        answer = self._vendor.submit(
            request.identity, attempt.input_tokens, attempt.output_tokens, request.blocks, self._seed, now
        )
        if isinstance(answer, Limited):
            self._forget(attempt)
            self._fail(attempt, reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, answer.retry_after)
            return False
        if isinstance(answer, Broken):
            self._timeline.at(answer.at, self._on_broken, attempt)
            return False
        begun = max(now, self._stalled_until)
        first_at = begun + (answer.first_at - now) * self._slowness
        last_at = first_at + (answer.last_at - answer.first_at) * self._slowness
        self._served[attempt.attempt_id] = Served(first_at, last_at, answer.hit_tokens)
        attempt.hit_tokens = answer.hit_tokens
        self._timeline.at(first_at, self._on_first, attempt)
        self._timeline.at(last_at, self._on_last, attempt)
        return True

    def _on_first(self, attempt: Attempt) -> None:
        if attempt.attempt_id in self._running:
            self._status.emitted += 1
            self._first(attempt)

    def _on_last(self, attempt: Attempt) -> None:
        if attempt.attempt_id in self._running:
            del self._served[attempt.attempt_id]
            self._vendor.on_end()
            attempt.brought = attempt.output_tokens
            self._status.emitted += attempt.brought - 1
            self._end(attempt)
            self._reporter.changed()

    def _on_broken(self, attempt: Attempt) -> None:
        if attempt.attempt_id in self._running:
            self._vendor.on_end()
            self._end(attempt, statuses.failed(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE))
            self._reporter.changed()

    def _cancel(self, attempt: Attempt) -> int:
        self._vendor.on_end()
        served = self._served.pop(attempt.attempt_id, None)
        now, tokens = self._timeline.now, attempt.output_tokens
        if served is None or now < served.first_at:
            return 0
        seconds = served.last_at - served.first_at
        return min(tokens, 1 + int((tokens - 1) * (now - served.first_at) / seconds)) if seconds else tokens

    def _lose(self) -> None:
        """The vendor forgets nothing when the worker before it does."""

    def _stall(self, until: float) -> None:
        self._stalled_until = max(self._stalled_until, until)

    def _slow(self, factor: float) -> None:
        self._slowness *= factor

    def _load(self, status: worker_status.WorkerStatus, now: float) -> None:
        status.running = self._vendor.running
        del status.headroom[:]
        for unit, remaining, limit, seconds in self._vendor.headroom(now):
            told = status.headroom.add(unit=unit, remaining=remaining, limit=limit)
            told.reset_after.FromNanoseconds(round(seconds * 1e9))
