"""A worker process: what it has in common whoever generates, its faults and its reports."""

from collections.abc import Callable

from google.rpc import status_pb2
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.inference.v1 import worker_status_pb2 as worker_status

from services.router.simulator import noise, statuses
from services.router.simulator.call import Attempt
from services.router.simulator.noise import Topic
from services.router.simulator.scenario import Fault, Scenario
from services.router.simulator.timeline import Timeline

MODEL = "model"
# What the routers' side of a connection hears of a worker: a report, or None that it is gone.
Report = worker_status.WorkerStatus | None
Listener = Callable[[str, Report], None]


class SimulatedWorker:
    """One worker. A subclass says how attempts run: `_begin`, `_cancel`, `_lose`, and what `_load` there is."""

    def __init__(self, name: str, kind: str, timeline: Timeline, scenario: Scenario, seed: int, number: int) -> None:
        self.name = name
        self._timeline = timeline
        self._wiring = scenario.wiring
        self._stale_seconds = scenario.router.stale_seconds
        self._seed = seed
        self._number = number
        self._listeners: list[Listener] = []
        self._unheard: list[list[tuple[int, ...]]] = []
        self._running: dict[str, Attempt] = {}
        self._of_router: list[int] = []
        self._away = False  # nothing reaches it
        self._silent = False  # nothing comes from it
        self._fails: list[float] = []
        self._reported_at = 0.0
        self._due = False
        self._status = worker_status.WorkerStatus(
            worker=name,
            kind=kind,
            state=worker_status.WORKER_STATE_SERVING,
            epoch=1,
            models=[worker_status.WorkerModel(name=MODEL, capabilities=[model.CAPABILITY_CHAT])],
        )

    def connect(self, listeners: list[Listener]) -> None:
        """Say which routers hear of it; from now on it reports."""
        self._listeners = listeners
        self._of_router = [0] * len(listeners)
        self._unheard = [[] for _ in listeners]
        self._report()
        self._timeline.at(self._timeline.now + self._wiring.silence_seconds, self._break_silence)

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
        self._of_router[attempt.call.router] += 1
        if self._begin(attempt):
            self._hear(attempt)
        self._changed()

    def cancel(self, attempt: Attempt) -> None:
        """Nobody wants the attempt any more."""
        if self._forget(attempt):
            attempt.brought = self._cancel(attempt)
            self._changed()

    def on_fault(self, fault: Fault) -> None:
        """A fault begins; it ends by itself after its time."""
        now = self._timeline.now
        self._timeline.at(now + fault.seconds, self._on_fault_end, fault)
        match fault.kind:
            case "dies" | "outage":
                self._away = True
                self._lose_all(forget=fault.kind == "dies")
                self._tell_lost()
            case "stalls":
                self._stall(now + fault.seconds)
            case "hangs":
                self._silent = True
                self._stall(now + fault.seconds)
                if fault.seconds > self._stale_seconds:
                    self._timeline.at(now + self._stale_seconds, self._on_stale)
            case "slows":
                self._slow(fault.factor)
            case "fails":
                self._fails.append(fault.share)

    def _on_fault_end(self, fault: Fault) -> None:
        match fault.kind:
            case "dies":
                self._away = False
                self._status.epoch += 1
                self._status.sequence = 0
                self._report()
            case "outage":
                self._away = False
                self._report()
            case "hangs":
                self._silent = self._away = False
                self._report()
            case "slows":
                self._slow(1 / fault.factor)
            case "fails":
                self._fails.remove(fault.share)

    def _on_stale(self) -> None:
        """So long was nothing heard of it that its connections are closed."""
        self._away = True
        self._lose_all(forget=False)
        self._tell_lost()

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
        self._of_router[attempt.call.router] -= 1
        return True

    def _hear(self, attempt: Attempt) -> None:
        """Remember which prompt came, for routers that did not send it."""
        if self._wiring.share_prefixes and attempt.call.request.blocks:
            for router, unheard in enumerate(self._unheard):
                if router != attempt.call.router:
                    unheard.append(attempt.call.request.blocks)

    def _changed(self) -> None:
        """There is something to report: now, or as soon as the last report is old enough."""
        if self._due:
            return
        at = self._reported_at + self._wiring.report_seconds
        if at <= self._timeline.now:
            self._report()
        else:
            self._due = True
            self._timeline.at(at, self._report_due)

    def _report_due(self) -> None:
        self._due = False
        self._report()

    def _break_silence(self) -> None:
        most = self._wiring.silence_seconds
        if self._reported_at + most <= self._timeline.now:
            self._report()
        self._timeline.at(self._reported_at + most, self._break_silence)

    def _report(self) -> None:
        self._reported_at = now = self._timeline.now
        if self._away or self._silent:
            return
        self._status.sequence += 1
        self._load(self._status, now)
        for router, listener in enumerate(self._listeners):
            report = worker_status.WorkerStatus()
            report.CopyFrom(self._status)
            if not self._wiring.share_load:
                report.running, report.waiting, report.queued_tokens = self._of_router[router], 0, 0
                report.ClearField("kv_usage")
            self._tell_prefixes(report, router)
            self._send(listener, report)

    def _tell_prefixes(self, report: worker_status.WorkerStatus, router: int) -> None:
        unheard = self._unheard[router]
        if unheard:
            for blocks in unheard:
                report.prefixes.add(model=MODEL, hashes=blocks)
            unheard.clear()

    def _tell_lost(self) -> None:
        for listener in self._listeners:
            self._send(listener, None)

    def _send(self, listener: Listener, report: Report) -> None:
        # Nothing overtakes: what is sent later arrives later, since the way is equally long for all.
        if self._wiring.staleness_seconds:
            self._timeline.at(self._timeline.now + self._wiring.staleness_seconds, listener, self.name, report)
        else:
            listener(self.name, report)

    def _begin(self, attempt: Attempt) -> bool:
        """Run the attempt. Returns whether its prompt is read."""
        raise NotImplementedError

    def _cancel(self, attempt: Attempt) -> int:
        """Stop the attempt. Returns how many tokens it has brought."""
        raise NotImplementedError

    def _lose(self) -> None:
        """The process is gone, and its memory with it."""
        raise NotImplementedError

    def _stall(self, until: float) -> None:
        """Do nothing until then."""
        raise NotImplementedError

    def _slow(self, factor: float) -> None:
        """Take so many times the time from now on."""
        raise NotImplementedError

    def _load(self, status: worker_status.WorkerStatus, now: float) -> None:
        """Write into the status what there is to do."""
        raise NotImplementedError
