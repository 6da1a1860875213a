"""A worker's reports: to every router, on change, not too often, and never too late."""

from collections.abc import Callable, Sequence

from hybridinference.inference.v1 import worker_status_pb2 as worker_status

from services.router.simulator.sections import Wiring
from services.router.simulator.timeline import Timeline

# What a router hears of a worker: a report, or None that it is gone.
Report = worker_status.WorkerStatus | None
Listener = Callable[[str, Report], None]


class Reporter:
    """Reports for one worker.

    Attributes:
        status: what is reported; whoever owns the reporter keeps it up to date in `fill`.
        running: by router, how many of its attempts run.
        silent: whether nothing is said.
    """

    def __init__(
        self,
        status: worker_status.WorkerStatus,
        model: str,
        timeline: Timeline,
        wiring: Wiring,
        fill: Callable[[worker_status.WorkerStatus, float], None],
    ) -> None:
        self.status = status
        self.running: list[int] = []
        self.silent = False
        self._model = model
        self._timeline = timeline
        self._wiring = wiring
        self._fill = fill
        self._listeners: Sequence[Listener] = ()
        self._unheard: list[list[tuple[int, ...]]] = []
        self._reported_at = 0.0
        self._due = False

    def connect(self, listeners: Sequence[Listener]) -> None:
        """Say who listens, one for each router; from now on there are reports."""
        self._listeners = listeners
        self.running = [0] * len(listeners)
        self._unheard = [[] for _ in listeners]
        self.report()
        self._timeline.at(self._timeline.now + self._wiring.silence_seconds, self._break_silence)

    def note(self, blocks: tuple[int, ...], router: int) -> None:
        """A prompt has come from that router: the others are told of it."""
        if self._wiring.share_prefixes and blocks:
            for other, unheard in enumerate(self._unheard):
                if other != router:
                    unheard.append(blocks)

    def changed(self) -> None:
        """There is something to report: now, or as soon as the last report is old enough."""
        if self._due:
            return
        at = self._reported_at + self._wiring.report_seconds
        if at <= self._timeline.now:
            self.report()
        else:
            self._due = True
            self._timeline.at(at, self._on_due)

    def report(self) -> None:
        """Report now."""
        self._reported_at = now = self._timeline.now
        if self.silent:
            return
        self.status.sequence += 1
        self._fill(self.status, now)
        for router, listener in enumerate(self._listeners):
            report = worker_status.WorkerStatus()
            report.CopyFrom(self.status)
            if not self._wiring.share_load:
                report.running, report.waiting, report.queued_tokens = self.running[router], 0, 0
                report.ClearField("kv_usage")
            for blocks in self._unheard[router]:
                report.prefixes.add(model=self._model, hashes=blocks)
            self._unheard[router].clear()
            self._send(listener, report)

    def lost(self) -> None:
        """Every router hears that the worker is gone."""
        for listener in self._listeners:
            self._send(listener, None)

    def _on_due(self) -> None:
        self._due = False
        self.report()

    def _break_silence(self) -> None:
        most = self._wiring.silence_seconds
        if self._reported_at + most <= self._timeline.now:
            self.report()
        self._timeline.at(self._reported_at + most, self._break_silence)

    def _send(self, listener: Listener, report: Report) -> None:
        # Nothing overtakes: what is sent later arrives later, since the way is equally long for all.
        name, delay = self.status.worker, self._wiring.staleness_seconds
        if delay:
            self._timeline.at(self._timeline.now + delay, listener, name, report)
        else:
            listener(name, report)
