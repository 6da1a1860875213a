"""A worker process: what it has in common whoever generates, its faults and its reports."""

import abc
from collections.abc import Callable, Sequence

from google.rpc import status_pb2
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.inference.v1 import worker_status_pb2 as worker_status

from services.router.simulator import noise, statuses
from services.router.simulator.call import Attempt
from services.router.simulator.noise import Topic
from services.router.simulator.reporter import Listener, Reporter
from services.router.simulator.scenario import Scenario
from services.router.simulator.sections import Fault
from services.router.simulator.timeline import Timeline

MODEL = "model"


class SimulatedWorker(abc.ABC):
    """One worker. A subclass says how attempts run: `_begin`, `_cancel`, `_lose`, and what `_load` there is."""

    def __init__(self, name: str, kind: str, timeline: Timeline, scenario: Scenario, seed: int, number: int) -> None:
        self.name = name
        self._timeline = timeline
        self._wiring = scenario.wiring
        self._stale_seconds = scenario.router.stale_seconds
        self._seed = seed
        self._number = number
        self._running: dict[str, Attempt] = {}
        self._away = False  # nothing reaches it
        self._absences: list[Fault] = []
        self._fails: list[float] = []
        status = worker_status.WorkerStatus(
            worker=name,
            kind=kind,
            state=worker_status.WORKER_STATE_SERVING,
            epoch=1,
            models=[worker_status.WorkerModel(name=MODEL, capabilities=[model.CAPABILITY_CHAT])],
        )
        self._reporter = Reporter(status, MODEL, timeline, scenario.wiring, self._load)

    @property
    def _status(self) -> worker_status.WorkerStatus:
        return self._reporter.status

    def connect(self, listeners: Sequence[Listener]) -> None:
        """Say which routers hear of it; from now on it reports."""
        self._reporter.connect(listeners)

    def start(self, attempt: Attempt) -> None:
        """An attempt arrives."""
        if attempt.ended:
            return  # given up on the way
        if self._away:
            self._fail(attempt, reasons.ERROR_REASON_WORKER_LOST)
            return
        share = max(self._fails, default=0.0)
        if share and noise.uniform(self._seed, Topic.FAULT, self._number, attempt.call.request.identity) < share:
            self._fail(attempt, reasons.ERROR_REASON_ENGINE_FAILED)
            return
        self._running[attempt.attempt_id] = attempt
        self._reporter.running[attempt.call.router] += 1
        if self._begin(attempt):
            self._reporter.note(attempt.call.request.blocks, attempt.call.router)
        self._reporter.changed()

    def cancel(self, attempt: Attempt) -> None:
        """Nobody wants the attempt any more."""
        if self._forget(attempt):
            attempt.brought = self._cancel(attempt)
            self._reporter.changed()

    def on_fault(self, fault: Fault) -> None:
        """A fault begins; it ends by itself after its time."""
        now = self._timeline.now
        self._timeline.at(now + fault.seconds, self._on_fault_end, fault)
        match fault.kind:
            case "dies" | "outage":
                self._absences.append(fault)
                self._away = self._reporter.silent = True
                self._lose_all(forget=fault.kind == "dies")
                self._reporter.lost()
            case "stalls":
                self._stall(now + fault.seconds)
            case "hangs":
                self._absences.append(fault)
                self._reporter.silent = True
                self._stall(now + fault.seconds)
                if fault.seconds > self._stale_seconds:
                    self._timeline.at(now + self._stale_seconds, self._on_stale, fault)
            case "slows":
                self._slow(fault.factor)
            case "fails":
                self._fails.append(fault.share)

    def _on_fault_end(self, fault: Fault) -> None:
        match fault.kind:
            case "dies" | "outage" | "hangs":
                if fault.kind == "dies":
                    self._status.epoch += 1
                    self._status.sequence = 0
                self._absences.remove(fault)
                if not self._absences:
                    self._away = self._reporter.silent = False
                    self._reporter.report()
            case "slows":
                self._slow(1 / fault.factor)
            case "fails":
                self._fails.remove(fault.share)

    def _on_stale(self, fault: Fault) -> None:
        """So long was nothing heard of it that its connections are closed."""
        if fault not in self._absences:
            return
        self._away = True
        self._lose_all(forget=False)
        self._reporter.lost()

    def _lose_all(self, *, forget: bool) -> None:
        lost = list(self._running.values())
        for attempt in lost:
            self._forget(attempt)
            attempt.brought = self._cancel(attempt)
            self._fail(attempt, reasons.ERROR_REASON_WORKER_LOST)
        if forget:
            self._lose()

    def _fail(self, attempt: Attempt, reason: int, retry_after: float | None = None) -> None:
        status = statuses.failed(reason, retry_after)
        self._after_network(attempt.call.callers.on_end, attempt, status)

    def _first(self, attempt: Attempt) -> None:
        self._after_network(attempt.call.callers.on_first_token, attempt)

    def _end(self, attempt: Attempt, status: status_pb2.Status = statuses.OK) -> None:
        self._forget(attempt)
        self._after_network(attempt.call.callers.on_end, attempt, status)

    def _after_network(self, call: Callable[..., None], *arguments: object) -> None:
        self._timeline.at(self._timeline.now + self._wiring.network_seconds, call, *arguments)

    def _forget(self, attempt: Attempt) -> bool:
        if self._running.pop(attempt.attempt_id, None) is None:
            return False
        self._reporter.running[attempt.call.router] -= 1
        return True

    @abc.abstractmethod
    def _begin(self, attempt: Attempt) -> bool:
        """Run the attempt. Returns whether its prompt is read."""

    @abc.abstractmethod
    def _cancel(self, attempt: Attempt) -> int:
        """Stop the attempt. Returns how many tokens it has brought."""

    @abc.abstractmethod
    def _lose(self) -> None:
        """The process is gone, and its memory with it."""

    @abc.abstractmethod
    def _stall(self, until: float) -> None:
        """Do nothing until then."""

    @abc.abstractmethod
    def _slow(self, factor: float) -> None:
        """Take so many times the time from now on."""

    @abc.abstractmethod
    def _load(self, status: worker_status.WorkerStatus, now: float) -> None:
        """Write into the status what there is to do."""
